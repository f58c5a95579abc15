"""The files of NSR-1K: prompts in English, with boxes from COCO.

spatial.train.json, spatial.val.json     two things and where the first is, seen from the second
counting.train.json, counting.val.json   things and their numbers

Both are lists of objects; boxes are [x, y, w, h] in 0..1 of the picture. Prompts that were written
without a picture have boxes of zeros: nothing is known of them but the relation.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from spatialgen.errors import InputError
from spatialgen.layouts import BBox, Layout, Placed
from spatialgen.planner.nsr1k.rules import Direction

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
OUTSIDE = 0.01  # of the picture, by which a box may stick out before it counts as damaged
Row = Mapping[str, Any]


@dataclass(frozen=True)
class SpatialPrompt:
    """A prompt that says where the first of two things is, seen from the second."""

    id: int
    image: int
    text: str
    names: tuple[str, str]  # COCO's
    relation: Direction
    layout: Layout  # by the names as the prompt writes them; empty without a picture


@dataclass(frozen=True)
class CountingPrompt:
    """A prompt that says how many things there are."""

    id: int
    image: int
    text: str
    numbers: tuple[tuple[str, int], ...]  # by COCO's names
    comparison: bool  # it compares two numbers, and tells only the first
    layout: Layout  # by the names as the prompt writes them


Prompt = TypeVar("Prompt", SpatialPrompt, CountingPrompt)


def read_spatial(path: Path) -> list[SpatialPrompt]:
    """The prompts of a spatial file; InputError where it is none."""
    return _read(path, _spatial_prompt)


def read_counting(path: Path) -> list[CountingPrompt]:
    """The prompts of a counting file; InputError where it is none."""
    return _read(path, _counting_prompt)


def _read(path: Path, make: Callable[[Row], Prompt]) -> list[Prompt]:
    remedy = "take it anew from dataset/NSR-1K of github.com/weixi-feng/LayoutGPT"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); {remedy}") from None
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} is no list of prompts; {remedy}")
    prompts = []
    for place, row in enumerate(rows):
        try:
            prompts.append(make(row))
        except KeyError as error:
            raise InputError(f"{path}: row {place} has no {error}; {remedy}") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: row {place} is damaged ({error}); {remedy}") from None
    if len({each.id for each in prompts}) < len(prompts):
        raise InputError(f"{path}: an id occurs twice; {remedy}")
    return prompts


def _spatial_prompt(row: Row) -> SpatialPrompt:
    text, (first, second) = _text(row), (row["obj1"], row["obj2"])
    if row["relation"] not in DIRECTIONS:
        raise ValueError(f"relation {row['relation']!r} is none of {', '.join(DIRECTIONS)}")
    boxes = [(name, _bbox(box)) for name, box in (first, second)]
    known = all(box for _, box in boxes)
    return SpatialPrompt(
        int(row["id"]),
        int(row["image_id"]),
        text,
        (_name(first[0]), _name(second[0])),
        row["relation"],
        tuple(Placed(written(name, text), box) for name, box in boxes if known and box),
    )


def _counting_prompt(row: Row) -> CountingPrompt:
    text = _text(row)
    boxes = [(name, _bbox(box)) for name, box in row["object_list"]]
    return CountingPrompt(
        int(row["id"]),
        int(row["image_id"]),
        text,
        tuple((_name(name), int(number)) for name, number in row["num_object"]),
        row["sub-type"] == "comparison",
        tuple(Placed(written(name, text), box) for name, box in boxes if box),
    )


def _text(row: Row) -> str:
    if not isinstance(row["prompt"], str) or not row["prompt"].strip():
        raise ValueError(f"prompt {row['prompt']!r} is no text")
    return " ".join(row["prompt"].split())


def _name(name: object) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{name!r} is no name")
    return name


def _bbox(box: Any) -> BBox | None:
    """[x1, y1, x2, y2] of [x, y, w, h], cut at the picture; None for zeros; ValueError for others
    that are no box."""
    x, y, width, height = (float(side) for side in box)
    if not any((x, y, width, height)):
        return None
    sides = (x, y, x + width, y + height)
    inside = all(math.isfinite(side) and -OUTSIDE <= side <= 1 + OUTSIDE for side in sides)
    x1, y1, x2, y2 = (min(max(side, 0.0), 1.0) for side in sides)
    if not (inside and x1 < x2 and y1 < y2):
        raise ValueError(f"{box!r} is no [x, y, w, h] in 0..1 with an extent")
    return x1, y1, x2, y2


def written(name: str, text: str) -> str:
    """The name as the text writes it, whole words: "cats" of cat; the name where it does not."""
    for around in (r"(?<!\w){}(?!\w)", r"(?<!\w){}[\w'-]*", r"[\w'-]*{}[\w'-]*"):
        if found := re.search(around.format(re.escape(name)), text, re.IGNORECASE):
            return found[0]
    return name
