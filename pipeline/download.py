"""Stage download: lake/captions -> lake/images, lake/downloads, metrics/download.json.

dvc repro download
dvc exp run -S download.min_side=512       # selects anew, fetches nothing
dvc exp run -S download.attempt=2          # asks again what failed for a passing reason
"""

import sys

from spatialgen.fetch.images import ImageStore
from spatialgen.fetch.publish import counts, publish_downloads, publish_images
from spatialgen.fetch.stage import asked_rows, download_stage
from spatialgen.lake.lake import Lake
from spatialgen.metrics import write_metrics
from spatialgen.params import argument_overrides, load_params
from spatialgen.project import guard
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.streaming import Streaming


def main() -> None:
    params = load_params(overrides=argument_overrides(sys.argv[1:]))
    lake = Lake("lake")
    stage = download_stage(params.download, params.compute)
    asked = asked_rows(lake, params.download)
    with lake.run("download", stage.fp) as run:
        done = answer_rows(lake, stage, asked, Streaming(), attachments=ImageStore(lake))
        run.add(**vars(done))
        publish_downloads(lake, stage, params.download)
        publish_images(lake)
    write_metrics("download", counts(lake))


if __name__ == "__main__":
    guard(main)
