"""The referee: do the boxes agree with what the caption says of positions?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spatialgen.relations.geometry import BBox, holds
from spatialgen.relations.names import means_same
from spatialgen.relations.parse import Relation, read_caption


@dataclass(frozen=True)
class Verdict:
    """A relation, and whether it holds; None where one of its things has no box."""

    relation: Relation
    agrees: bool | None


def judge(caption: str, objects: Mapping[str, Sequence[BBox]]) -> list[Verdict]:
    """A verdict on each relation that the caption states, by boxes of each name.

    A name is looked up as it stands; failing that, as one that means the same.
    """
    return [Verdict(each, _agrees(each, objects)) for each in read_caption(caption).relations]


def _agrees(relation: Relation, objects: Mapping[str, Sequence[BBox]]) -> bool | None:
    subjects = boxes_of(relation.subject, objects)
    others = [boxes_of(name, objects) for name in relation.objects]
    if not subjects or not all(others) or any(boxes is subjects for boxes in others):
        return None
    if relation.kind == "between" and len(others) == 1 and len(others[0]) < 2:
        return None
    return holds(relation.kind, subjects, others)


def boxes_of(name: str, objects: Mapping[str, Sequence[BBox]]) -> Sequence[BBox]:
    """The boxes under this name, or under one that means the same."""
    if boxes := objects.get(name):
        return boxes
    for other, boxes in objects.items():
        if boxes and means_same(name, other):
            return boxes
    return ()


def spatial_agree(verdicts: Sequence[Verdict]) -> bool | None:
    """False where a relation fails, True where those that could be tested hold, None where none
    could be."""
    tested = [verdict.agrees for verdict in verdicts if verdict.agrees is not None]
    return all(tested) if tested else None
