"""A planner for NSR-1K: trained once per fingerprint, on what its train files say."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from spatialgen.errors import InputError
from spatialgen.lake.ids import fingerprint
from spatialgen.model_identity import model_identity
from spatialgen.planner.evaluate import planned
from spatialgen.planner.nsr1k.files import (
    CountingPrompt,
    SpatialPrompt,
    read_counting,
    read_spatial,
)
from spatialgen.planner.nsr1k.lexicon import with_words
from spatialgen.planner.nsr1k.rows import PromptRows, copies_of, hold_out, pairs_of
from spatialgen.planner.nsr1k.scores import alone, score_counting, score_spatial
from spatialgen.planner.nsr1k.words import swap_words
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.planner.task import PlannerTask
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.loop import Loop, LoopSettings

REVISION = 1  # raise it when an equal recipe would train another planner


@dataclass(frozen=True)
class Recipe:
    """How a planner is trained, as in params.yaml's train_planner."""

    base: str
    revision: str | None = None
    lora_rank: int | None = None
    bins: int = 64
    smoothing: float = 2.0
    mirrored: float = 0.5
    steps: int = 1200
    batch: int = 32
    rate: float = 0.003
    every: int = 200
    seed: int = 0
    precision: str = "fp32"


@dataclass(frozen=True)
class Data:
    """The benchmark's prompts: `train` teaches, `held_out` chooses the checkpoint, `val` is asked.
    The counting ones are empty where their train file is not there."""

    train: Sequence[SpatialPrompt]
    held_out: Sequence[SpatialPrompt]
    val: Sequence[SpatialPrompt]
    counting_train: Sequence[CountingPrompt]
    counting_held_out: Sequence[CountingPrompt]
    counting_val: Sequence[CountingPrompt]

    @classmethod
    def read(cls, folder: Path) -> "Data":
        """The files of a folder; InputError where one is missing or damaged."""
        train, held_out = hold_out(read_spatial(folder / "spatial.train.json"))
        val = read_spatial(folder / "spatial.val.json")
        counting = folder / "counting.train.json"
        if not counting.exists():
            return cls(train, held_out, val, (), (), ())
        kept = hold_out(read_counting(counting))
        return cls(train, held_out, val, *kept, read_counting(folder / "counting.val.json"))

    def rows(self) -> PromptRows:
        """What is trained on; InputError where nothing is."""
        rows = PromptRows.of([*copies_of(self.train), *pairs_of(self.counting_train)])
        if not len(rows):
            raise InputError("no prompt of spatial.train.json has boxes; take the file anew")
        return rows

    def judge(self, planner: LayoutPlanner) -> dict[str, float]:
        """Of greedy layouts for what is held out: the accuracy of each part, and the mean of these
        as the score."""
        layouts = planned(planner, [each.text for each in self.held_out])
        parts = {"spatial": score_spatial(self.held_out, alone(layouts)).accuracy}
        if self.counting_held_out:
            layouts = planned(planner, [each.text for each in self.counting_held_out])
            parts["counting"] = score_counting(self.counting_held_out, alone(layouts)).accuracy
        figures = {name: each.value or 0.0 for name, each in parts.items()}
        return {"score": sum(figures.values()) / len(figures), **figures}


def train(data: Data, recipe: Recipe, store: Path, device: str) -> TrainingFolder:
    """The folder of a finished training under `store`: of one that was finished before, if data,
    recipe and base are equal, else of one that goes on from its last checkpoint, or begins."""
    rows = data.rows()
    held_out = PromptRows.of([*pairs_of(data.held_out), *pairs_of(data.counting_held_out)])
    fp = fingerprint(
        revision=REVISION,
        base=model_identity(recipe.base, recipe.revision, "train_planner.revision"),
        recipe={k: v for k, v in asdict(recipe).items() if k not in ("base", "revision")},
        rows=rows.digest,
        held_out=held_out.digest,
    )
    folder = TrainingFolder(store / "train" / f"nsr1k-{fp}")
    if not folder.finished:
        make_loop(data, rows, recipe, folder, device, fp).run()
    return folder


def make_loop(
    data: Data, rows: PromptRows, recipe: Recipe, folder: TrainingFolder, device: str, fp: str
) -> Loop:
    """The training of this recipe, from the base on."""
    planner = LayoutPlanner.from_base(
        recipe.base, revision=recipe.revision, bins=recipe.bins, seed=recipe.seed
    )
    if recipe.lora_rank:
        planner = planner.with_lora(recipe.lora_rank)
    else:  # beside frozen weights, new words would learn nothing
        planner = with_words(planner, (text for text, _ in rows.known.values()))
    task = PlannerTask(
        planner,
        data.judge,
        seed=recipe.seed,
        smoothing=recipe.smoothing,
        mirrored=recipe.mirrored,
        swap=swap_words,
        published={"base": recipe.base, "revision": recipe.revision, "fp": fp},
    )
    taken = ("steps", "batch", "rate", "every", "seed", "precision")
    settings = LoopSettings(**{name: getattr(recipe, name) for name in taken})
    return Loop(task, rows, folder, settings, cpu=device == "cpu")
