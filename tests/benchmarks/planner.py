"""The planner's loader against its training step, and captions planned together against one by one.

One thread, the shipped base at default params, a lake of captions of the sample world with their
true boxes. The loader is timed on an epoch that no cache has seen.

python -m tests.benchmarks.planner
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import BOXES, CAPTIONS, SPLITS
from spatialgen.params import load_params
from spatialgen.planner.stage import examples_of, split_rows
from spatialgen.planner.training import make_loop
from spatialgen.relations.parse import read_caption
from spatialgen.sample.world.view import web_view
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.loop import Loop
from tests.benchmarks.harness import median, report, seconds, workspace
from tests.tables import publish

JUDGED = {"spatial_type": "strong", "tier": "judge", "p_strong": 1, "p_weak": 0, "p_none": 0,
          "sha256": "0" * 64, "group_id": 0, "absent": [], "problems": [], "raw": []}  # fmt: skip
ROWS, STEPS, TOGETHER, ROUNDS = 4000, 30, 64, 3


def rows() -> Iterator[dict[str, Any]]:
    """Columns of all tables."""
    for index in range(ROWS):
        view = web_view("corpus", 1, index, 1.0)
        caption, truth = view.situation.caption, view.truth()
        relations = [
            {"relation": each.kind, "subject": each.subject, "objects": list(each.objects)}
            for each in read_caption(caption).relations
        ]
        objects = [
            {"name": each["name"], "bbox": each["bbox"]}
            for each in truth["objects"]
            if each["named"]
        ]
        where = {"row_id": row_id(str(index), caption), "url": str(index), "split": "train"}
        yield {**where, **JUDGED, "caption": caption, "objects": objects, "relations": relations}


def make_lake(root: Path) -> Lake:
    """The captions, their boxes and a split that trains all."""
    lake, found = Lake(root / "lake", store=root / ".lake"), list(rows())
    for spec in (CAPTIONS, BOXES, SPLITS):
        publish(lake, spec, found)
    return lake


def speed(loop: Loop) -> tuple[float, float]:
    """Seconds of a batch's loading, and of its step."""
    batches = loop._batches()
    kept = list(islice(batches, 5))
    for batch in kept:
        loop._step(batch)
    load = seconds(lambda: kept.extend(islice(batches, STEPS)))
    step = median([seconds(partial(loop._step, batch)) for batch in kept[5:]])
    return load / STEPS, step


def main() -> None:
    torch.set_num_threads(1)
    params = load_params().train_planner
    with workspace() as folder:
        lake = make_lake(folder)
        train = split_rows(lake, params, "train")
        training = TrainingFolder(folder / "training")
        loop = make_loop(params, train, training, lambda planner: {}, cpu=True)
        load, step = speed(loop)
        captions = [each.caption for each in examples_of(train, TOGETHER)]
        planner = loop.task.planner  # type: ignore[attr-defined]
        planner.model.train(False)
        planner.plan(captions[:2])
        together = median([seconds(lambda: planner.plan(captions)) for _ in range(ROUNDS)])
        alone = seconds(lambda: [planner.plan(caption) for caption in captions])
        same = planner.plan(captions) == [planner.plan(caption) for caption in captions]
    figures = {
        "rows": len(train), "load_ms": 1000 * load, "step_ms": 1000 * step,
        "step_over_load": step / load, "plan_64_ms_per_caption": 1000 * together / TOGETHER,
        "plan_1_ms_per_caption": 1000 * alone / TOGETHER, "one_by_one_over_batch": alone / together,
        "same_layouts": same,
    }  # fmt: skip
    bars = {"loader >= 10x": step / load >= 10, "batch of 64 >= 8x": alone / together >= 8}
    report("planner", figures, bars)


if __name__ == "__main__":
    main()
