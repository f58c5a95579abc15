"""Stage sample: the sample corpus -> data/sample (CSV shards and their truth).

dvc repro sample
"""

from pathlib import Path

from spatialgen.lake.ids import fingerprint
from spatialgen.lake.lake import Lake
from spatialgen.metrics import write_metrics
from spatialgen.params import load_params
from spatialgen.project import guard
from spatialgen.sample.shards import REVISION, write_sample


def main() -> None:
    params = load_params().sample
    fp = fingerprint(revision=REVISION, **params.model_dump())
    with Lake("lake").run("sample", fp) as run:
        counts = write_sample(params, Path("data/sample"))
        run.rows_total = run.rows_computed = counts["lines"]
    write_metrics("sample", counts)


if __name__ == "__main__":
    guard(main)
