"""Stage split: lake/captions, lake/downloads, lake/images -> lake/splits, metrics/split.json.

dvc repro split
dvc exp run -S split.salt=split-v2       # another draw
"""

from spatialgen.lake.lake import Lake
from spatialgen.metrics import write_metrics
from spatialgen.params import load_params
from spatialgen.project import guard
from spatialgen.splits import SPLIT, publish_splits


def main() -> None:
    params = load_params()
    splits = publish_splits(Lake("lake"), params.split, params.compute.memory)
    counts = {name: splits.counts["split"].get(name, 0) for name in SPLIT}
    write_metrics("split", {"rows": splits.rows, **counts})


if __name__ == "__main__":
    guard(main)
