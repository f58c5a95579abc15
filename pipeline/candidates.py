"""Stage candidates: CSV shards -> lake/candidates, lake/rejects, metrics/candidates.json.

dvc repro candidates
"""

from dataclasses import asdict

from spatialgen.candidates import REVISION, prefilter
from spatialgen.lake.ids import fingerprint
from spatialgen.lake.lake import Lake
from spatialgen.metrics import write_metrics
from spatialgen.params import load_params
from spatialgen.project import guard


def main() -> None:
    params = load_params()
    lake = Lake("lake")
    fp = fingerprint(revision=REVISION, keywords=params.candidates.keywords)
    with lake.run("candidates", fp) as run:
        counts = prefilter(lake, params.candidates, params.compute)
        run.rows_total = run.rows_computed = counts.records
        run.rows_failed = counts.rejected
    write_metrics("candidates", asdict(counts))


if __name__ == "__main__":
    guard(main)
