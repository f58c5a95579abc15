"""The rules of NSR-1K, as its authors' scripts apply them (Feng et al., LayoutGPT,
arXiv:2305.15393; github.com/weixi-feng/LayoutGPT, eval_spatial_layout.py, eval_counting_layout.py).
"""

import difflib
from collections.abc import Sequence
from itertools import product
from typing import Literal

from spatialgen.layouts import BBox, Layout, boxes_by_name

Direction = Literal["left", "right", "top", "bottom", "next to"]
DIAGONAL = 1e-9  # offsets that differ by less are equal, but for rounding


def direction(a: BBox, b: BBox) -> Direction | None:
    """Where a is, seen from b: within 45 degrees of the offset of their centres; None on a diagonal
    and for equal centres."""
    dx, dy = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    if abs(dx) - abs(dy) > DIAGONAL:
        return "left" if dx < 0 else "right"
    if abs(dy) - abs(dx) > DIAGONAL:
        return "top" if dy < 0 else "bottom"
    return None


def follows(relation: Direction, subjects: Sequence[BBox], objects: Sequence[BBox]) -> bool:
    """Whether any pair lies that way; next to is left or right."""
    wanted = {"left", "right"} if relation == "next to" else {relation}
    return any(direction(a, b) in wanted for a, b in product(subjects, objects))


def boxes_named(name: str, layout: Layout) -> list[BBox]:
    """The boxes of the thing in the layout whose name is closest, if it is close enough: difflib's
    ratio of 0.6 (Ratcliff and Metzener 1988)."""
    boxes = boxes_by_name(layout)
    return [
        box for closest in difflib.get_close_matches(name, [*boxes], 1) for box in boxes[closest]
    ]
