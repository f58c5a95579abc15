"""How good layouts are: names and numbers of things, positions by named rules, boxes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np
from scipy.optimize import linear_sum_assignment

from spatialgen.layouts import BBox, Layout, boxes_by_name, make_layout
from spatialgen.relations.geometry import holds, iou
from spatialgen.relations.parse import Relation, read_caption
from spatialgen.relations.referee import boxes_of
from spatialgen.relations.rules import AXES, RULES, Side
from spatialgen.relations.swap import swap_heights, swap_sides
from spatialgen.statistics import Figure, pooled, ratio, wilson

REFEREE = "referee"
Boxes = Mapping[str, Sequence[BBox]]  # by name


@dataclass(frozen=True)
class Example:
    """A caption, where its things are in its picture, and what it states of positions."""

    caption: str
    layout: Layout
    relations: tuple[Relation, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Example":
        """The example of a row of captions and boxes."""
        stated = tuple(
            Relation(each["relation"], each["subject"], tuple(each["objects"]))
            for each in row["relations"]
        )
        return cls(row["caption"], make_layout(row["objects"]), stated)


def opposed(example: Example) -> list[Example]:
    """The example with left and right exchanged in its caption, and with above and below, where
    that exchanges some of its positions and leaves the others; only these positions count."""
    found = []
    for swap in (swap_sides, swap_heights):
        caption = swap(example.caption)
        if caption is None or caption == example.caption:
            continue
        stated = read_caption(caption).relations
        if changed := tuple(each for each in stated if each not in example.relations):
            found.append(Example(caption, (), changed))
    return found


def relation_figures(examples: Sequence[Example], layouts: Sequence[Layout]) -> dict[str, Figure]:
    """Share of the stated positions that hold, a thing that is missing counting as failed: by each
    of RULES for left, right, above and below, and by the referee's own rules for all (`referee`).
    """
    verdicts = [
        relation_verdicts(example.relations, boxes_by_name(layout))
        for example, layout in zip(examples, layouts, strict=True)
    ]
    return {name: _pooled([each[name] for each in verdicts]) for name in (*RULES, REFEREE)}


def relation_verdicts(relations: Sequence[Relation], boxes: Boxes) -> dict[str, list[bool]]:
    """Whether each stated left, right, above and below holds by each of RULES between boxes by
    name, the surest first, and each relation by the referee's own rules (REFEREE); one whose thing
    is missing does not."""
    sides = [each for each in relations if each.kind in AXES]
    by_rule = {
        name: [_follows(rule, each, boxes) for each in sides] for name, rule in RULES.items()
    }
    return {**by_rule, REFEREE: [_holds(each, boxes) for each in relations]}


def figures_by_kind(examples: Sequence[Example], layouts: Sequence[Layout]) -> dict[str, Figure]:
    """The referee's share by kind of relation."""
    kinds = {relation.kind for example in examples for relation in example.relations}
    return {
        kind: _pooled(
            [
                [_holds(each, boxes_by_name(layout)) for each in example.relations
                 if each.kind == kind]
                for example, layout in zip(examples, layouts, strict=True)
            ]
        )
        for kind in sorted(kinds)
    }  # fmt: skip


def _pooled(verdicts: Sequence[Sequence[bool]]) -> Figure:
    """The share that is true, in cases with several verdicts each."""
    return pooled([*map(sum, verdicts)], [*map(len, verdicts)])


def _holds(relation: Relation, boxes: Boxes) -> bool:
    subjects = boxes_of(relation.subject, boxes)
    others = [boxes_of(name, boxes) for name in relation.objects]
    if not subjects or not all(others) or any(each is subjects for each in others):
        return False
    return holds(relation.kind, subjects, others)


def _follows(rule: Callable[..., bool], relation: Relation, boxes: Boxes) -> bool:
    subjects, objects = (boxes_of(name, boxes) for name in (relation.subject, relation.objects[0]))
    if not subjects or not objects or subjects is objects:
        return False
    return rule(cast(Side, relation.kind), subjects, objects)


def layout_figures(examples: Sequence[Example], layouts: Sequence[Layout]) -> dict[str, Figure]:
    """Of the things: precision, recall and F1 (instances by name), and the share of captions whose
    numbers are all right; mean IoU with the true boxes, the best pairs of equal names (Kuhn 1955,
    Munkres 1957), misses counting 0; how much two boxes of a layout overlap (mean IoU of all
    pairs); and the share of boxes that reach out of the picture."""
    hits, planned, true, overlaps, counted, crowding, outside = [], [], [], [], 0, [], []
    for example, layout in zip(examples, layouts, strict=True):
        wanted, found = boxes_by_name(example.layout), boxes_by_name(layout)
        numbers = [Counter({n: len(b) for n, b in each.items()}) for each in (wanted, found)]
        hits.append((numbers[0] & numbers[1]).total())
        true.append(numbers[0].total())
        planned.append(numbers[1].total())
        counted += numbers[0] == numbers[1]
        overlaps.append(sum(sum(paired_ious(wanted[name], found.get(name, ()))) for name in wanted))
        pairs = [iou(a.bbox, b.bbox) for a, b in combinations(layout, 2)]
        crowding.append(float(np.mean(pairs)) if pairs else 0.0)
        outside.append(sum(min(each.bbox) < 0 or max(each.bbox) > 1 for each in layout))
    hit, plan, real = (np.array(values, np.float64) for values in (hits, planned, true))
    return {
        "object_precision": ratio(hit, plan),
        "object_recall": ratio(hit, real),
        "object_f1": ratio(2 * hit, plan + real),
        "count_accuracy": wilson(counted, len(examples)),
        "mean_iou": ratio(np.array(overlaps, np.float64), real),
        "overlap": ratio(np.array(crowding, np.float64), np.ones(len(crowding))),
        "out_of_canvas": ratio(np.array(outside, np.float64), plan),
    }


def paired_ious(true: Sequence[BBox], found: Sequence[BBox]) -> list[float]:
    """The IoU of each true box with the box that it is paired with, 0 without one: the pairs whose
    sum is greatest, each box in one of them."""
    overlaps = np.zeros((len(true), len(found)))
    for i, one in enumerate(true):
        overlaps[i] = [iou(one, other) for other in found]
    best = np.zeros(len(true))
    rows, columns = linear_sum_assignment(-overlaps)
    best[rows] = overlaps[rows, columns]
    return [float(value) for value in best]
