"""Stage filter: lake/candidates -> lake/captions, metrics/filter.json.

dvc repro filter
dvc exp run -S filter.min_probability=0.8          # selects anew, judges nothing
"""

from pathlib import Path

from spatialgen.captions.classifier import CLASSES
from spatialgen.captions.filter import filter_stage
from spatialgen.captions.gold import measure, read_gold
from spatialgen.captions.publish import SpatialTarget, publish_captions
from spatialgen.lake.lake import Lake
from spatialgen.metrics import write_metrics
from spatialgen.params import load_params
from spatialgen.project import guard
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline


def main() -> None:
    params = load_params()
    lake = Lake("lake")
    candidates = lake["candidates"].dataset()
    gold = read_gold(Path(params.filter.gold)) if params.filter.gold else None
    stage = filter_stage(params.filter, params.compute)
    target = SpatialTarget(lake, stage, params.filter) if params.filter.target_samples else None
    runner = Inline(params.compute.device)
    with lake.run("filter", stage.fp) as run:
        run.add(**vars(answer_rows(lake, stage, candidates, runner, target=target)))
        if gold:
            run.add(**vars(answer_rows(lake, stage, gold, runner, label="filter (gold)")))
        captions = publish_captions(lake, stage, candidates, params.filter)
    types = captions.counts["spatial_type"]
    counts = {name: types.get(name, 0) for name in CLASSES}
    agreed = measure(lake, stage, gold, candidates, params.filter) if gold else {}
    write_metrics(
        "filter", {"rows": captions.rows, **counts, "failed": types.get("null", 0), **agreed}
    )


if __name__ == "__main__":
    guard(main)
