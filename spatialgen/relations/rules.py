"""Position accuracy by the rules of published benchmarks, for left, right, above and below.

Each takes the boxes of subject and object, [x1, y1, x2, y2] in 0..1, of all instances that were
found, the surest first, and says whether the subject is on that side.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

from spatialgen.relations.geometry import BBox, iou

Side = Literal["left", "right", "above", "below"]
Boxes = Sequence[BBox]
AXES: dict[Side, tuple[float, float]] = {
    "left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1),
}  # fmt: skip
GENEVAL_MARGIN = 0.1  # of both boxes' extents, by which an offset is shrunk
GENEVAL_SHARE = 0.5  # of the whole offset's length
COMPBENCH_IOU = 0.1


def _offset(a: BBox, b: BBox) -> tuple[float, float]:
    """From b's centre to a's."""
    return (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2


def visor(side: Side, subjects: Boxes, objects: Boxes) -> bool:
    """Any pair whose centres lie that way, however much they lie otherwise (VISOR: Gokhale et al.,
    arXiv:2212.10015)."""
    x, y = AXES[side]
    return any(
        x * dx + y * dy > 0 for dx, dy in (_offset(a, b) for a, b in product(subjects, objects))
    )


def geneval(side: Side, subjects: Boxes, objects: Boxes) -> bool:
    """The surest pair; the offset, less a tenth of both extents on each axis, reaches that way by
    more than half of the whole offset's length (GenEval: Ghosh et al., arXiv:2310.11513, and its
    evaluate_images.py)."""
    a, b = subjects[0], objects[0]
    offset = _offset(a, b)
    shrunk = []
    for axis, distance in enumerate(offset):
        margin = GENEVAL_MARGIN * (a[axis + 2] - a[axis] + b[axis + 2] - b[axis])
        shrunk.append(math.copysign(max(0.0, abs(distance) - margin), distance))
    x, y = AXES[side]
    return x * shrunk[0] + y * shrunk[1] > GENEVAL_SHARE * math.hypot(*offset)


def t2i_compbench(side: Side, subjects: Boxes, objects: Boxes) -> bool:
    """The first pair lies mostly that way and hardly overlaps: the full score of the 2D-spatial
    metric (T2I-CompBench: Huang et al., arXiv:2307.06350)."""
    a, b = subjects[0], objects[0]
    dx, dy = _offset(a, b)
    x, y = AXES[side]
    mostly = abs(dx) > abs(dy) if x else abs(dy) > abs(dx)
    return x * dx + y * dy > 0 and mostly and iou(a, b) < COMPBENCH_IOU


def nsr(side: Side, subjects: Boxes, objects: Boxes) -> bool:
    """Any pair within 45 degrees of that direction (NSR-1K: Feng et al., LayoutGPT,
    arXiv:2305.15393)."""
    x, y = AXES[side]
    for a, b in product(subjects, objects):
        dx, dy = _offset(a, b)
        sideways = abs(dx) >= abs(dy)
        if x * dx + y * dy > 0 and sideways == bool(x):
            return True
    return False


RULES: dict[str, Callable[[Side, Boxes, Boxes], bool]] = {
    "visor": visor,
    "geneval": geneval,
    "t2i_compbench": t2i_compbench,
    "nsr": nsr,
}
