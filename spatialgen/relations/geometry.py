"""When a relation holds between boxes: one written rule each.

Boxes are [x1, y1, x2, y2] in [0, 1] of the picture, y downwards. A picture's width counts as much
as its height, as in the sources.

left, right, above, below   The centre lies that way, and either mostly that way (the 45-degree cone
    of NSR-1K's score: Feng et al., LayoutGPT, arXiv:2305.15393) or level with the other box, their
    projections on the other axis overlapping (Goyal and Egenhofer's projection-based directions,
    "Similarity of cardinal directions", SSTD 2001).
on          Above, or resting on it: the lower edge within the other's height, the boxes sharing
    columns (support as in Visual Genome's "on": Krishna et al., arXiv:1602.07332).
in          Half of the subject's area at least is inside the object's box (intersection over the
    subject's area, COCO's measure for crowd regions), or its foot is, the middle of its lower edge:
    what stands in the snow rises above it (the contact point of Hoiem et al., below).
front, behind   What stands lower in the picture is nearer (height in the picture plane as depth
    cue: Hoiem et al., "Putting objects in perspective", IJCV 2008), and the boxes are near.
beside      Nearer than the larger one's longest side, level with it, neither inside the other.
    T2I-CompBench (arXiv:2307.06350) takes 150 pixels of 512 between centres for "next to"; a gap
    relative to the things' size does not depend on how large they are drawn.
between     The centre lies between the others' centres: its projection on the line that joins them
    falls inside it, and it is no further from the line than half of the line's length.
around      The subjects' common extent covers the object's centre; several lie on both sides of it.
regions     Corners and parts: the centre is in that quarter or half of the picture. The centre:
    in the middle third both ways (rule of thirds).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

from spatialgen.relations.words import Kind

BBox = Sequence[float]
NEAR = 1.0  # gap, of the larger box's longest side
INSIDE = 0.5  # share of the subject's area
WITHIN = 0.9  # share of the area of what is a part of the other rather than beside it
LEVEL = 0.25  # share of the smaller height that must be common
LOWER = 0.02  # of the picture's height: less decides nothing about depth
THIRDS = (1 / 3, 2 / 3)
SUPPORT = 0.25  # of the subject's height: how far above its support a box may end


def read_bbox(sides: Iterable[Any]) -> list[float]:
    """A box that somebody wrote, of any numbers; ValueError or TypeError where it is none."""
    box = [float(side) for side in sides]
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise ValueError(f"bbox {box} is no [x1, y1, x2, y2] in 0..1")
    return box


def holds(kind: Kind, subjects: Sequence[BBox], objects: Sequence[Sequence[BBox]]) -> bool:
    """Whether `kind` holds for some of the subject's boxes and some of each object's.

    `objects` has one entry per name. 之间 of one name is between two of its boxes. Where there are
    several instances, one that fits is enough: a caption seldom speaks of all (as `nsr`, `visor`).
    """
    if kind == "around":
        return any(_around(subjects, target) for target in objects[0])
    if kind == "between":
        ends = _ends(objects)
        return any(_between(a, b, c) for a, (b, c) in product(subjects, ends))
    if not objects:
        return any(REGIONS[kind](a) for a in subjects)
    return any(BETWEEN_TWO[kind](a, b) for a, b in product(subjects, objects[0]))


def iou(a: BBox, b: BBox) -> float:
    """Intersection over union of two boxes of positive area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def _ends(objects: Sequence[Sequence[BBox]]) -> list[tuple[BBox, BBox]]:
    if len(objects) > 1:
        return list(product(objects[0], objects[1]))
    boxes = objects[0]
    return [(b, c) for i, b in enumerate(boxes) for c in boxes[i + 1 :]]


def _x(a: BBox) -> float:
    return (a[0] + a[2]) / 2


def _y(a: BBox) -> float:
    return (a[1] + a[3]) / 2


def _overlap(a: BBox, b: BBox, axis: int) -> float:
    """Length of the common projection, negative: the gap. axis 0: columns, 1: rows."""
    return min(a[axis + 2], b[axis + 2]) - max(a[axis], b[axis])


def _left(a: BBox, b: BBox) -> bool:
    dx, dy = _x(b) - _x(a), abs(_y(b) - _y(a))
    return dx > 0 and (dx >= dy or _overlap(a, b, 1) > 0)


def _above(a: BBox, b: BBox) -> bool:
    dx, dy = abs(_x(b) - _x(a)), _y(b) - _y(a)
    return dy > 0 and (dy >= dx or _overlap(a, b, 0) > 0)


def _on(a: BBox, b: BBox) -> bool:
    reach = SUPPORT * (a[3] - a[1])
    resting = b[1] - reach <= a[3] <= b[3] + reach and _overlap(a, b, 0) > 0
    return resting or _above(a, b)


def _in(a: BBox, b: BBox) -> bool:
    foot = b[0] <= _x(a) <= b[2] and b[1] <= a[3] <= b[3]
    return foot or _inside(a, b) >= INSIDE


def _inside(a: BBox, b: BBox) -> float:
    """Share of a's area inside b."""
    common = max(0.0, _overlap(a, b, 0)) * max(0.0, _overlap(a, b, 1))
    area = (a[2] - a[0]) * (a[3] - a[1])
    return common / area if area > 0 else 0.0


def _near(a: BBox, b: BBox) -> bool:
    longest = max(a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1])
    return max(-_overlap(a, b, 0), -_overlap(a, b, 1)) <= NEAR * longest


def _front(a: BBox, b: BBox) -> bool:
    return a[3] - b[3] >= LOWER and _near(a, b)


def _beside(a: BBox, b: BBox) -> bool:
    level = _overlap(a, b, 1) >= LEVEL * min(a[3] - a[1], b[3] - b[1])
    apart = max(_inside(a, b), _inside(b, a)) < WITHIN
    return level and apart and _near(a, b)


def _between(a: BBox, b: BBox, c: BBox) -> bool:
    bx, by = _x(c) - _x(b), _y(c) - _y(b)
    ax, ay = _x(a) - _x(b), _y(a) - _y(b)
    length = bx * bx + by * by
    if length == 0:
        return False
    along = (ax * bx + ay * by) / length
    aside = abs(ax * by - ay * bx) / length  # in units of the line's length
    return 0 < along < 1 and aside <= 0.5


def _around(subjects: Sequence[BBox], b: BBox) -> bool:
    extent = [*(min(a[i] for a in subjects) for i in (0, 1)),
              *(max(a[i] for a in subjects) for i in (2, 3))]  # fmt: skip
    if not (extent[0] < _x(b) < extent[2] and extent[1] < _y(b) < extent[3]):
        return False
    sides = {_x(a) < _x(b) for a in subjects}
    return len(subjects) == 1 or len(sides) == 2


BETWEEN_TWO: dict[Kind, Callable[[BBox, BBox], bool]] = {
    "left": _left,
    "right": lambda a, b: _left(b, a),
    "above": _above,
    "below": lambda a, b: _above(b, a),
    "on": _on,
    "in": _in,
    "front": _front,
    "behind": lambda a, b: _front(b, a),
    "beside": _beside,
}
REGIONS: dict[Kind, Callable[[BBox], bool]] = {
    "top_left": lambda a: _x(a) < 0.5 and _y(a) < 0.5,
    "top_right": lambda a: _x(a) > 0.5 and _y(a) < 0.5,
    "bottom_left": lambda a: _x(a) < 0.5 and _y(a) > 0.5,
    "bottom_right": lambda a: _x(a) > 0.5 and _y(a) > 0.5,
    "left_part": lambda a: _x(a) < 0.5,
    "right_part": lambda a: _x(a) > 0.5,
    "top_part": lambda a: _y(a) < 0.5,
    "bottom_part": lambda a: _y(a) > 0.5,
    "center": lambda a: all(THIRDS[0] <= at <= THIRDS[1] for at in (_x(a), _y(a))),
}
