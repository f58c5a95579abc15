"""Stage train_planner: rows of the lake -> models/planner, trained once per fingerprint."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spatialgen.errors import ParamsError
from spatialgen.lake.ids import fingerprint
from spatialgen.lake.lake import Lake
from spatialgen.model_identity import model_identity
from spatialgen.model_loading import choose_device
from spatialgen.params import ComputeParams, TrainPlannerParams
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.planner.scores import Example, layout_figures, relation_figures
from spatialgen.planner.training import make_loop, training_params
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.loader import Rows
from spatialgen.training.loop import Loop, Report, train
from spatialgen.training.rows import TrainingRows, choose_rows

REVISION = 1  # raise it when equal params would train another planner
COLUMNS = {"captions": ["caption"], "boxes": ["objects", "relations"]}
VALIDATION = 128  # rows, at most: they are planned every few steps
PUBLISHED = Path("models/planner")
TABLES = ("boxes", "captions", "splits")


def split_rows(lake: Lake, params: TrainPlannerParams, split: str) -> TrainingRows:
    """The rows of a split that satisfy train_planner.where and have a box."""
    return choose_rows(lake, "train_planner.where", params.where, split, COLUMNS)


def examples_of(rows: Rows, most: int | None = None) -> list[Example]:
    """The first of the rows as examples."""
    return [Example.of(row) for row in rows.read(range(len(rows))[:most])]


def train_planner(
    lake: Lake,
    params: TrainPlannerParams,
    compute: ComputeParams,
    rows: Rows,
    validation: Rows,
    report: Report,
) -> TrainingFolder:
    """The folder of a finished training on `rows`: of one that was finished before, if rows, params
    and base are equal, else of one that goes on from its last checkpoint, or begins. `report` is
    given the figures of every step."""
    folder, published = find_training(lake, params, rows, validation)

    def begin() -> Loop:
        held_out = examples_of(validation, VALIDATION)
        return make_loop(
            params,
            rows,
            folder,
            partial(held_out_figures, held_out),
            cpu=choose_device(compute.device) == "cpu",
            workers=compute.loader_workers,
            micro_batch=compute.micro_batch,
            **published,
        )

    return train(folder, begin, report)


def find_training(
    lake: Lake, params: TrainPlannerParams, rows: Rows, validation: Rows
) -> tuple[TrainingFolder, dict[str, Any]]:
    """The folder of this training, and what its planner's config says of it."""
    if Path(params.base).resolve() == PUBLISHED.resolve():
        raise ParamsError(
            f"train_planner.base = {params.base} is what this stage writes; name its training "
            "instead, .lake/train/planner-<fp>/result, with the fp in its planner_config.json"
        )
    tables = {name: lake[name].manifest.digest for name in TABLES}
    fp = fingerprint(
        revision=REVISION,
        base=model_identity(params.base, params.revision, "train_planner.revision"),
        params=training_params(params),
        rows=rows.digest,
        validation=validation.digest,
        tables=tables,
    )
    folder = TrainingFolder(lake.store_root / "train" / f"planner-{fp}")
    trained = {"trained_rows": len(rows), "split": "train", "where": params.where}
    return folder, {"fp": fp, "tables": tables, **trained}


def held_out_figures(examples: Sequence[Example], planner: LayoutPlanner) -> dict[str, float]:
    """Of greedy layouts: the share of the stated positions that hold, the mean IoU, and their mean
    as the score."""
    layouts = planner.plan([each.caption for each in examples])
    positions = relation_figures(examples, layouts)["referee"].value or 0.0
    mean_iou = layout_figures(examples, layouts)["mean_iou"].value or 0.0
    return {"score": (positions + mean_iou) / 2, "positions": positions, "mean_iou": mean_iou}
