"""Drawing the sample world: 10,000 rows with their pictures and truth, by two processes.

python -m tests.benchmarks.world
"""

from spatialgen.params import load_params
from spatialgen.sample.shards import write_sample
from tests.benchmarks.harness import report, seconds, workspace

ROWS, WORKERS = 10_000, 2
MOST_SECONDS = 60.0  # on two cores; a laptop's worth of patience


def main() -> None:
    params = load_params().sample.model_copy(update={"rows": ROWS})
    with workspace() as folder:
        sample = folder / "sample"
        taken = seconds(lambda: write_sample(params, sample, WORKERS))
        size = sum(path.stat().st_size for path in sample.rglob("*") if path.is_file())
    report(
        "world",
        {"rows": ROWS, "seconds": round(taken, 1), "megabytes": round(size / 1e6, 1)},
        {"10,000 pictures within a minute": taken <= MOST_SECONDS},
    )


if __name__ == "__main__":
    main()
