"""Stage sample: the sample web -> data/sample (CSV shards, pictures, and the truth about both).

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
    params = load_params()
    fp = fingerprint(revision=REVISION, **params.sample.model_dump())
    with Lake("lake").run("sample", fp) as run:
        counts = write_sample(params.sample, Path("data/sample"), params.compute.threads)
        run.rows_total = run.rows_computed = counts["lines"]
    write_metrics("sample", counts)


if __name__ == "__main__":
    guard(main)
