"""What a judge found in a picture, against what its caption and its row's own boxes ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from spatialgen.layouts import BBox, Layout, Placed, boxes_by_name
from spatialgen.planner.scores import Boxes, Example, paired_ious, relation_verdicts
from spatialgen.relations.geometry import iou
from spatialgen.relations.rules import AXES

HIT = 0.5  # IoU of an instance that is where it was wanted (COCO-MIG: arXiv:2402.05408)


@dataclass(frozen=True)
class Seen:
    """A thing that a judge found in a picture."""

    name: str
    bbox: BBox  # [x1, y1, x2, y2] in [0, 1]
    score: float | None = None  # in [0, 1]; None where the judge gives none


def judge_picture(
    wanted: Example, found: Sequence[Seen], absent: str, known: frozenset[str] | None = None
) -> dict[str, Any]:
    """A VERDICT of lake/generations, of what was found, the surest first.

    What the judge cannot find, because its name is not `known` to it (None: it knows all), is left
    out of all counts. `absent_found` is None where it was asked for no absent thing.
    """
    boxes = boxes_of_seen(found)
    relations = [
        each for each in wanted.relations
        if known is None or known.issuperset((each.subject, *each.objects))
    ]  # fmt: skip
    layout = tuple(each for each in wanted.layout if known is None or each.name in known)
    return {
        **{rule: sum(held) for rule, held in relation_verdicts(relations, boxes).items()},
        "sides": sum(each.kind in AXES for each in relations),
        "relations": len(relations),
        **boxes_verdict(layout, boxes),
        "absent_found": bool(boxes.get(absent)) if absent else None,
    }


def boxes_of_seen(found: Sequence[Seen]) -> dict[str, list[BBox]]:
    """The boxes of each name, in the order in which they were found."""
    return boxes_by_name(tuple(Placed(each.name, each.bbox) for each in found))


def boxes_verdict(wanted: Layout, boxes: Boxes) -> dict[str, Any]:
    """Of the wanted instances: hits at an IoU of HIT, the sum of their IoU, and how many are there
    by number, wherever. A box counts for one instance of its name, so two instances need two; the
    hits and the sum are each of the pairs that make them greatest."""
    hits, overlap, present = 0, 0.0, 0
    for name, true in boxes_by_name(wanted).items():
        found = boxes.get(name, ())
        hits += _most_hits(true, found)
        overlap += sum(paired_ious(true, found))
        present += min(len(true), len(found))
    return {"mig_hits": hits, "mig_iou": overlap, "present": present, "instances": len(wanted)}


def _most_hits(true: Sequence[BBox], found: Sequence[BBox]) -> int:
    near = np.array([[iou(one, other) >= HIT for other in found] for one in true])
    return int(near[linear_sum_assignment(near, maximize=True)].sum())
