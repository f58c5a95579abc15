"""From a model's text to clean boxes by name. Any text is read; what is wrong with it is said."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from spatialgen.grounding.families import Mention
from spatialgen.relations.geometry import iou
from spatialgen.relations.names import means_same

# Why a box was left out, or what else is odd; what lake/boxes.problems holds.
PROBLEMS = (
    "unnamed", "not_asked", "unreadable_box", "degenerate", "tiny", "duplicate", "unanswered",
    "truncated", "no_second_look",
)  # fmt: skip
PUNCTUATION = " \t\r\n\"'“”‘’《》「」。，、：:,.()（）[]"


@dataclass
class Answer:
    """Boxes [x1, y1, x2, y2] in [0, 1] by name; the names said to be absent; what was wrong."""

    objects: dict[str, list[list[float]]] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def tidy(
    mentions: Sequence[Mention],
    names: Sequence[str],
    caption: str,
    *,
    min_area: float,
    merge_iou: float,
) -> Answer:
    """What `mentions` say about the `names` that were asked for.

    Boxes are cut at the picture's borders; those without area, or with less than `min_area` of the
    picture, are left out, and so is one whose IoU with an earlier box of its name is `merge_iou` or
    more. A name that was not asked for counts if the caption has it.
    """
    answer = Answer()
    said: dict[str, bool] = {}  # whether only as absent
    for written, bbox in mentions:
        name = _asked_name(written, names, caption)
        if name is None:
            answer.problems.append("not_asked" if written else "unnamed")
            continue
        said[name] = said.get(name, True) and bbox is None
        if bbox is None:
            continue
        if not bbox:
            answer.problems.append("unreadable_box")
            continue
        boxes = answer.objects.setdefault(name, [])
        clean = [min(1.0, max(0.0, side)) for side in bbox]
        problem = _problem(clean, boxes, min_area, merge_iou)
        if problem:
            answer.problems.append(problem)
        else:
            boxes.append(clean)
    answer.objects = {name: boxes for name, boxes in answer.objects.items() if boxes}
    answer.absent = [name for name, only_absent in said.items() if only_absent]
    answer.problems += ["unanswered" for name in names if name not in said]
    return answer


def _problem(
    box: Sequence[float], others: Sequence[Sequence[float]], min_area: float, merge_iou: float
) -> str | None:
    x1, y1, x2, y2 = box
    if not (x1 < x2 and y1 < y2):
        return "degenerate"
    if (x2 - x1) * (y2 - y1) < min_area:
        return "tiny"
    return "duplicate" if any(iou(box, other) >= merge_iou for other in others) else None


def _asked_name(written: str, names: Sequence[str], caption: str) -> str | None:
    """The asked name that is meant: an equal one, or the only one that means the same."""
    name = normalise(written)
    if not name:
        return names[0] if len(names) == 1 and not written else None
    if name in names:
        return name
    alike = [asked for asked in names if means_same(asked, name)]
    if len(alike) == 1:
        return alike[0]
    return name if name in caption and not alike else None


def normalise(name: str) -> str:
    """Full-width forms, quotes and stops removed."""
    return unicodedata.normalize("NFKC", name).strip(PUNCTUATION)
