"""Layouts: what is where in a picture, and the text form that planners write.

<obj>猫</obj><box>[0.052,0.310,0.448,0.902]</box><obj>狗</obj><box>[0.551,...]</box>
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spatialgen.errors import InputError

BBox = tuple[float, float, float, float]
OBJECT = re.compile(r"\s*<obj>([^<>]*)</obj>\s*<box>([^<>]*)</box>[\s,，;；、]*")


@dataclass(frozen=True)
class Placed:
    """A thing and its box [x1, y1, x2, y2] in 0..1 of the picture, x1 < x2 and y1 < y2."""

    name: str
    bbox: BBox


Layout = tuple[Placed, ...]


def make_layout(objects: Iterable[Mapping[str, Any]]) -> Layout:
    """A layout of dicts with `name` and `bbox`; InputError for a box that is none."""
    return tuple(_placed(each["name"], each["bbox"]) for each in objects)


def _placed(name: str, bbox: Sequence[float | str]) -> Placed:
    try:
        x1, y1, x2, y2 = (float(side) for side in bbox)
    except (TypeError, ValueError):
        raise InputError(f"{bbox!r} of {name} is no [x1, y1, x2, y2]; give four numbers") from None
    if not (name and all(map(math.isfinite, (x1, y1, x2, y2))) and 0 <= x1 < x2 <= 1):
        raise InputError(f"{bbox!r} of {name!r} is no box; give 0 <= x1 < x2 <= 1 and a name")
    if not 0 <= y1 < y2 <= 1:
        raise InputError(f"{bbox!r} of {name!r} is no box; give 0 <= y1 < y2 <= 1")
    return Placed(name, (x1, y1, x2, y2))


def format_layout(layout: Layout) -> str:
    """The text form, with three digits of each coordinate."""
    return "".join(
        f"<obj>{each.name}</obj><box>[{','.join(f'{side:.3f}' for side in each.bbox)}]</box>"
        for each in layout
    )


def parse_layout(text: str) -> Layout:
    """The layout of a text form; InputError with the place where it ceases to be one."""
    try:
        objects = read_objects(text)
    except ValueError as error:
        raise InputError(f"{error}; mend it") from None
    return make_layout(objects)


def read_objects(text: str) -> list[dict[str, Any]]:
    """Name and bbox of each object of a text form, boxes in whatever unit it has; ValueError with
    the place where it ceases to be one."""
    found, end = [], 0
    while end < len(text.rstrip()):
        match = OBJECT.match(text, end)
        try:
            if match is None:
                raise ValueError
            found.append({"name": match[1].strip(), "bbox": json.loads(match[2])})
        except (ValueError, RecursionError):
            raise ValueError(
                f"{text[end : end + 40]!r} is no <obj>name</obj><box>[x1,y1,x2,y2]</box>"
            ) from None
        end = match.end()
    return found


def boxes_by_name(layout: Layout) -> dict[str, list[BBox]]:
    """The boxes of each name, in the layout's order."""
    found: dict[str, list[BBox]] = {}
    for each in layout:
        found.setdefault(each.name, []).append(each.bbox)
    return found


def mirror(layout: Layout) -> Layout:
    """The layout of the picture flipped left to right."""
    return tuple(
        Placed(each.name, (1 - each.bbox[2], each.bbox[1], 1 - each.bbox[0], each.bbox[3]))
        for each in layout
    )
