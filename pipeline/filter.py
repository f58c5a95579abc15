"""Stage filter: lake/candidates -> lake/captions, metrics/filter.json.

dvc repro filter
dvc exp run -S filter.min_probability=0.8          # selects anew, judges nothing
"""

from spatialgen.captions.filter import filter_stage
from spatialgen.captions.gold import measure
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
    stage = filter_stage(params.filter, params.compute)
    runner = Inline(params.compute.device)
    target = SpatialTarget(lake, stage, params.filter) if params.filter.target_samples else None
    with lake.run("filter", stage.fp) as run:
        run.add(**vars(answer_rows(lake, stage, candidates, runner, target=target)))
        captions = publish_captions(lake, stage, candidates, params.filter, params.compute)
        gold = measure(lake, stage, params.filter, params.compute, runner)
    types = captions.counts["spatial_type"]
    counts = {name: types.get(name, 0) for name in ("strong", "weak", "none")}
    share = gold.get("spatial_precision")
    write_metrics(
        "filter",
        {"rows": captions.rows, **counts, "failed": types.get("null", 0)}
        # of the rows selected as strong or weak, those that are, as the gold estimates it
        | ({"spatial_share": share, "gold": gold} if share else {}),
    )


if __name__ == "__main__":
    guard(main)
