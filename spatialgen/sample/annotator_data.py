"""What the small annotator learns from: views of the sample world as questions and answers."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spatialgen.grounding.qwen2_vl import ask, write_answer
from spatialgen.sample.world.captions import (
    MOST_THINGS,
    Situation,
    make_situation,
    make_web_situation,
)
from spatialgen.sample.world.classes import STUFF, THINGS
from spatialgen.sample.world.pictures import visible_pixels
from spatialgen.sample.world.scenes import SIDE
from spatialgen.sample.world.view import Split, View, normalised, seeded, show

NAMES = (*THINGS, *STUFF)
CLASSES = {name: number for number, name in enumerate(NAMES, 1)}  # 0: nothing that has a name
CELL = 16  # pixels that a visual token covers
CELLS = SIDE // CELL
COVERED = 0.25  # share of a cell that a thing must cover to be what is there
STUFF_ASKED = 0.5  # probability that a ground is among the names
ABSENT_ASKED = (0.35, 0.4, 0.25)  # shares of the questions with none, one, two absent names
MOST_ASKED = 6

# What the pictures show: relations, things on a ground, anything.
KINDS: tuple[Callable[[random.Random], Situation], ...] = (
    lambda rng: make_situation(rng, "strong"),
    lambda rng: make_situation(rng, "weak"),
    lambda rng: make_web_situation(rng, 0.0),
)
SHARES = (0.5, 0.15, 0.35)

Objects = dict[str, list[list[float]]]  # name: boxes, [x1, y1, x2, y2] in [0, 1]


@dataclass(frozen=True)
class Question:
    """One picture, what is asked of it, and the truth by name ([] where absent)."""

    pixels: npt.NDArray[np.uint8]  # [SIDE, SIDE, 3]
    truth: Objects
    cells: npt.NDArray[np.int64]  # [CELLS ** 2] class of what covers a cell, 0: nothing
    boxes: npt.NDArray[
        np.float32
    ]  # [CELLS ** 2, 4] pixels of a thing's box, NaN: no thing is there

    def ask(self, prompt: str) -> str:
        """The user's text."""
        return ask(prompt, list(self.truth))

    def answer(self) -> str:
        """The assistant's text."""
        return write_answer(self.truth)

    def marks(self) -> Iterator[tuple[int, list[float]]]:
        """Class and box in pixels of what comes next, where a name of the answer ends (0 and NaN if
        it is absent) and where a box begins."""
        for name, boxes in self.truth.items():
            number = CLASSES[name]
            pixels = [[side * SIDE for side in bbox] for bbox in boxes]
            yield (number, pixels[0]) if boxes else (0, [math.nan] * 4)
            for box in pixels:
                yield number, box


def training_view(
    split: Split, seed: int, index: int, most_things: int = MOST_THINGS, least_things: int = 1
) -> View:
    """A view with a relation, on a ground or with anything, of so many things."""
    rng = seeded(split, seed, index)
    while True:
        view = show(rng, rng.choices(KINDS, SHARES)[0])
        if least_things <= len(view.scene.things) <= most_things:
            return view


def question(view: View, rng: random.Random) -> Question:
    """Things, at times stuff, and often a name of what is not there, in random order."""
    shown = shown_objects(view)
    names = [name for name in shown if name in THINGS]
    stuff = [name for name in shown if name in STUFF]
    if stuff and rng.random() < STUFF_ASKED:
        names.append(rng.choice(stuff))
    for _ in range(rng.choices(range(len(ABSENT_ASKED)), ABSENT_ASKED)[0]):
        kind = STUFF if rng.random() < STUFF_ASKED else THINGS
        names.append(rng.choice([name for name in kind if name not in (*shown, *names)]))
    rng.shuffle(names)
    return _question(view, {name: shown.get(name, []) for name in names[:MOST_ASKED]})


def full_question(view: View, rng: random.Random) -> Question:
    """Every thing in the picture and one that is not, in random order; no stuff."""
    shown = shown_objects(view)
    names = [name for name in shown if name in THINGS]
    names.append(rng.choice([name for name in THINGS if name not in shown]))
    rng.shuffle(names)
    return _question(view, {name: shown.get(name, []) for name in names})


def shown_objects(view: View) -> Objects:
    """Visible boxes by name, instances from left to right."""
    shown: Objects = {}
    for thing, box in zip(view.scene.things, view.boxes, strict=True):
        shown.setdefault(thing.name, []).append(normalised(box))
    for name, box in view.scene.stuff:
        shown[name] = [normalised(box)]
    return {name: sorted(boxes) for name, boxes in shown.items()}


def _question(view: View, truth: Objects) -> Question:
    cells, boxes = cover(view)
    return Question(np.asarray(view.draw()), truth, cells, boxes)


def cover(view: View) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Per cell, the class of the thing that covers most of it and the thing's box in pixels, or the
    class of the ground at its centre.

    Each thing has one cell at least, where most of it is.
    """
    cells = np.zeros((CELLS, CELLS), np.int64)
    boxes = np.full((CELLS, CELLS, 4), np.nan, np.float32)
    for name, region in view.scene.stuff:
        rows = slice(*(round(edge / CELL) for edge in (region.top, region.bottom)))
        cells[rows] = CLASSES[name]
    most = np.full((CELLS, CELLS), COVERED)
    owner = visible_pixels(view.scene).reshape(CELLS, CELL, CELLS, CELL)
    shares = [(owner == number).mean((1, 3)) for number in range(len(view.boxes))]
    where = []
    for share in shares:
        where.append(share >= most)
        most = np.maximum(most, share)
    where += [share == share.max() for share in shares]
    for each, thing, box in zip(where, 2 * view.scene.things, 2 * view.boxes, strict=True):
        cells[each] = CLASSES[thing.name]
        boxes[each] = (box.left, box.top, box.right, box.bottom)
    return cells.ravel(), boxes.reshape(-1, 4)


def stack(questions: Sequence[Question]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64],
                                                  npt.NDArray[np.float32]]:  # fmt: skip
    """[n, SIDE, SIDE, 3] pixels, [n, cells] classes, [n, cells, 4] boxes."""
    return (
        np.stack([question.pixels for question in questions]),
        np.stack([question.cells for question in questions]),
        np.stack([question.boxes for question in questions]),
    )
