"""`spatialgen eval`: measures a part of the generator on a public benchmark."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import typer

from spatialgen.cli.output import Format, print_table

if TYPE_CHECKING:
    from spatialgen.planner.nsr1k.scores import CountingScore, SpatialScore
    from spatialgen.statistics import Figure

SMALL_BASE = Path(__file__).parent.parent / "sample" / "qwen2-small"
NOW = "measured now"
PUBLISHED = "their published layouts, 5 of each prompt, by these rules"
RERANKED = "measured now; the judge knows the rule, so its choice is no independent figure"


class Benchmark(StrEnum):
    """Public benchmarks of planners."""

    nsr1k = "nsr1k"


evaluate = typer.Typer(
    help="Measure on public benchmarks, or paint for their evaluators.", no_args_is_help=True
)


@evaluate.command()
def planner(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="the benchmark's own files, such as spatial.train.json"),
    ],
    benchmark: Annotated[Benchmark, typer.Option(help="whose files and rules these are")],
    base: Annotated[
        str,
        typer.Option(
            help="any causal LM or planner: a folder, or a hub id with --revision",
            show_default="the sample world's",
        ),
    ] = str(SMALL_BASE),
    revision: Annotated[str | None, typer.Option(help="of a hub id: the commit")] = None,
    lora_rank: Annotated[
        int | None, typer.Option(help="train matrices of this rank beside frozen weights")
    ] = None,
    bins: Annotated[int, typer.Option(help="of a coordinate; 256 for a large vocabulary")] = 64,
    steps: Annotated[int, typer.Option(help="of the training")] = 1200,
    batch: Annotated[int, typer.Option(help="rows of a step")] = 32,
    rate: Annotated[float, typer.Option(help="highest learning rate")] = 0.003,
    precision: Annotated[
        str, typer.Option(help="of computing: fp32, fp16 or bf16; weights that train are float32")
    ] = "fp32",
    seed: Annotated[int, typer.Option(help="of the training")] = 0,
    samples: Annotated[
        int, typer.Option(help="layouts drawn of each prompt; 1: greedy ones only")
    ] = 5,
    device: Annotated[str, typer.Option(help="cuda, cpu; auto: a GPU where there is one")] = "auto",
    format: Annotated[Format, typer.Option(help="how to print the figures")] = Format.table,
) -> None:
    """Train a planner on a benchmark's files and score it by its rules, beside public systems.

    The training is kept in the store: an interrupted one goes on, a finished one is only scored.
    """
    from spatialgen.model_loading import choose_device
    from spatialgen.params import TrainPlannerParams
    from spatialgen.planner.nsr1k.benchmark import measure_counting, measure_spatial
    from spatialgen.planner.nsr1k.training import RECIPE, Data, train_on
    from spatialgen.planner.planner import LayoutPlanner
    from spatialgen.project import store_root

    params = TrainPlannerParams.of(
        **RECIPE,
        base=base,
        revision=revision,
        lora_rank=lora_rank,
        bins=bins,
        steps=steps,
        batch=batch,
        rate=rate,
        precision=precision,
        samples=samples,
        seed=seed,
    )
    _check_base(base, revision)
    data, device = Data.read(folder), choose_device(device)
    done = train_on(data, params, store_root(), device)
    trained = LayoutPlanner.from_pretrained(done.result, device=device)
    rows = spatial_rows(measure_spatial(trained, data, samples))
    if data.counting_val:
        rows += counting_rows(measure_counting(trained, data, samples))
    print_table(as_table(rows), format)
    if not data.counting_val:
        print(f"{folder} holds no counting.train.json: counting was not trained and is not scored",
              file=sys.stderr)  # fmt: skip
    print(
        f"trained on {len(data.train)} spatial prompts, {len(data.held_out)} more chose the "
        f"checkpoint: {done.root}",
        file=sys.stderr,
    )


def _check_base(base: str, revision: str | None) -> None:
    from spatialgen.errors import InputError

    if not revision and not Path(base).expanduser().is_dir():
        raise InputError(
            f"--base {base} is no folder here, and a hub id needs its commit; add --revision"
        )


def as_table(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows of all parts, with the columns of each."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def spatial_rows(scores: "dict[str, SpatialScore]") -> list[dict[str, Any]]:
    """One row per origin of layouts for the spatial prompts, public systems last."""
    from spatialgen.planner.nsr1k.benchmark import BEST, PUBLISHED_SPATIAL

    rows: list[dict[str, Any]] = [
        {
            "part": "spatial",
            "layouts": name,
            **_interval("accuracy", score.accuracy),
            "of each prompt": score.layouts // score.accuracy.n,
            "missing": score.missing,
            "mean IoU": score.mean_iou.value,
            "source": RERANKED if name == BEST else NOW,
        }
        for name, score in scores.items()
    ]
    rows += [
        {"part": "spatial", "layouts": name, "accuracy": accuracy, "n": 283, "of each prompt": 5,
         "missing": missing, "source": PUBLISHED}
        for name, accuracy, missing in PUBLISHED_SPATIAL
    ]  # fmt: skip
    return rows


def counting_rows(scores: "dict[str, CountingScore]") -> list[dict[str, Any]]:
    """One row per origin of layouts for the counting prompts, public systems last."""
    from spatialgen.planner.nsr1k.benchmark import PUBLISHED_COUNTING

    rows: list[dict[str, Any]] = [
        {
            "part": "counting",
            "layouts": name,
            **_interval("accuracy", score.accuracy),
            "precision": score.precision.value,
            "recall": score.recall.value,
            "mean error": score.mae,
            "source": NOW,
        }
        for name, score in scores.items()
    ]
    rows += [
        {"part": "counting", "layouts": name, "accuracy": accuracy, "n": 762,
         "precision": precision, "recall": recall, "mean error": mae, "source": PUBLISHED}
        for name, precision, recall, accuracy, mae in PUBLISHED_COUNTING
    ]  # fmt: skip
    return rows


def _interval(name: str, figure: "Figure") -> dict[str, Any]:
    return {name: figure.value, "lo": figure.lo, "hi": figure.hi, "n": figure.n}
