"""What trains a planner: the params' model and task, in the loop that every model trains in."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spatialgen.params import TrainPlannerParams
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.planner.task import PlannerTask
from spatialgen.relations.swap import swap_sides
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.loader import Rows
from spatialgen.training.loop import Loop, LoopSettings

DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # of weights that are frozen
IDENTIFIED_OTHERWISE = {"base", "revision"}  # by the model's own digest
NOT_TRAINED = {"samples"}
SETTINGS = {"steps", "batch", "rate", "every", "seed", "precision"}


def training_params(params: TrainPlannerParams) -> dict[str, Any]:
    """What of the params, beside the base, makes a planner another one."""
    return params.model_dump(exclude=IDENTIFIED_OTHERWISE | NOT_TRAINED)


def make_loop(
    params: TrainPlannerParams,
    rows: Rows,
    folder: TrainingFolder,
    judge: Callable[[LayoutPlanner], Mapping[str, float]],
    *,
    cpu: bool,
    workers: int = 0,
    micro_batch: int | None = None,
    swap: Callable[[str], str | None] = swap_sides,
    prepare: Callable[[LayoutPlanner], LayoutPlanner] = lambda planner: planner,
    **published: Any,
) -> Loop:
    """The training of these params, from the base on. `judge` and `swap`: see PlannerTask;
    `prepare` is given the planner where all its weights train; `cpu`, `workers` and `micro_batch`:
    see Loop; `published` goes into the planner's config."""
    planner = LayoutPlanner.from_base(
        params.base,
        revision=params.revision,
        bins=params.bins,
        seed=params.seed,
        dtype=DTYPES[params.precision] if params.lora_rank else "float32",
    )
    task = PlannerTask(
        planner.with_lora(params.lora_rank) if params.lora_rank else prepare(planner),
        judge,
        seed=params.seed,
        smoothing=params.smoothing,
        mirrored=params.mirrored,
        swap=swap,
        renamed=params.renamed,
        published={"base": params.base, "revision": params.revision, **published},
    )
    return Loop(
        task,
        rows,
        folder,
        LoopSettings(**params.model_dump(include=SETTINGS)),
        cpu=cpu,
        workers=workers,
        micro_batch=micro_batch,
        resume=TrainingFolder(Path(params.resume)) if params.resume else None,
    )
