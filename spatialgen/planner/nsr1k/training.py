"""A planner for NSR-1K: trained once per fingerprint, on what its train files say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialgen.errors import InputError
from spatialgen.lake.ids import fingerprint
from spatialgen.model_identity import model_identity
from spatialgen.params import TrainPlannerParams
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
from spatialgen.planner.training import make_loop, training_params
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.loop import Loop, train

REVISION = 2  # raise it when equal params would train another planner


# TrainPlannerParams that no user chooses here: all rows train, and their things keep their names.
RECIPE: Mapping[str, Any] = {
    "resume": None,
    "where": "true",
    "smoothing": 2.0,
    "mirrored": 0.5,
    "renamed": 0.0,
    "every": 200,
}


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


def train_on(data: Data, params: TrainPlannerParams, store: Path, device: str) -> TrainingFolder:
    """The folder of a finished training under `store`: of one that was finished before, if data,
    params and base are equal, else of one that goes on from its last checkpoint, or begins."""
    rows = data.rows()
    held_out = PromptRows.of([*pairs_of(data.held_out), *pairs_of(data.counting_held_out)])
    fp = fingerprint(
        revision=REVISION,
        base=model_identity(params.base, params.revision, "--revision"),
        params=training_params(params),
        rows=rows.digest,
        held_out=held_out.digest,
    )
    folder = TrainingFolder(store / "train" / f"nsr1k-{fp}")

    def add_words(planner: LayoutPlanner) -> LayoutPlanner:
        return with_words(planner, (text for text, _ in rows.known.values()))

    def begin() -> Loop:
        return make_loop(params, rows, folder, data.judge, cpu=device == "cpu", swap=swap_words,
                         prepare=add_words, fp=fp)  # fmt: skip

    return train(folder, begin)
