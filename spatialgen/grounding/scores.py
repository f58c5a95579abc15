"""How well predicted boxes cover the true ones."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spatialgen.relations.geometry import BBox, iou
from spatialgen.statistics import Figure, ratio, wilson


def match(predicted: Sequence[BBox], true: Sequence[BBox]) -> list[tuple[int, int, float]]:
    """Pairs (predicted, true, IoU > 0), greedily by IoU, each box once."""
    pairs = sorted(
        ((iou(p, t), i, j) for i, p in enumerate(predicted) for j, t in enumerate(true)),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    matched, used, taken = [], set(), set()
    for overlap, i, j in pairs:
        if overlap > 0 and i not in used and j not in taken:
            used.add(i)
            taken.add(j)
            matched.append((i, j, overlap))
    return matched


SIZES = {"small": (0.0, 0.2), "medium": (0.2, 0.4), "large": (0.4, 2.0)}
"""Of a box: the side of a square of its area, as a share of the picture's."""


@dataclass(frozen=True)
class PictureScore:
    """What was counted in one picture, matched within each name."""

    true: int
    predicted: int
    matched: int
    overlap: float  # sum of the IoU of matched pairs
    hits_50: int  # pairs with IoU >= 0.5
    hits_75: int


@dataclass
class BoxScores:
    """How well pictures' boxes were found: add pictures, then read the figures."""

    pictures: list[PictureScore] = field(default_factory=list)
    covered: list[tuple[float, float]] = field(default_factory=list)  # side, IoU of each true box
    absent: int = 0  # names asked for that were not in the picture
    false: int = 0  # of these, the ones that got a box

    def add(
        self,
        predicted: Mapping[str, Sequence[BBox]],
        true: Mapping[str, Sequence[BBox]],
        *,
        unasked: bool = False,
    ) -> None:
        """One picture: boxes by name; a true name without boxes was planted and is absent.

        With `unasked`, boxes of names that `true` lacks are false alarms: of a detector, which
        nobody asks for names.
        """
        overlaps: list[float] = []
        found = sum(len(predicted[name]) for name in predicted.keys() - true.keys() if unasked)
        for name, boxes in true.items():
            guesses = predicted.get(name, ())
            if not boxes:
                self.count_absent(predicted, [name])
                continue
            best = {j: overlap for _, j, overlap in match(guesses, boxes)}
            self.covered += [(side(box), best.get(j, 0.0)) for j, box in enumerate(boxes)]
            overlaps += best.values()
            found += len(guesses)
        self.pictures.append(
            PictureScore(
                true=sum(map(len, true.values())),
                predicted=found,
                matched=len(overlaps),
                overlap=sum(overlaps),
                hits_50=sum(overlap >= 0.5 for overlap in overlaps),
                hits_75=sum(overlap >= 0.75 for overlap in overlaps),
            )
        )

    def count_absent(self, predicted: Mapping[str, Sequence[BBox]], names: Sequence[str]) -> None:
        """Names that were asked for and are not in the picture."""
        self.absent += len(names)
        self.false += sum(bool(predicted.get(name)) for name in names)

    def measured(self) -> dict[str, Figure]:
        """Figures with intervals: mean_iou (of matched boxes), mean_iou_misses_0; precision, recall
        and F1 at IoU 0.5 and 0.75; false_box_rate, the share of absent names that got a box."""
        n = self._column
        figures = {
            "mean_iou": ratio(n("overlap"), n("matched")),
            "mean_iou_misses_0": ratio(n("overlap"), n("true")),
        }
        for limit in (50, 75):
            hits = n(f"hits_{limit}")
            figures[f"precision_{limit}"] = ratio(hits, n("predicted"))
            figures[f"recall_{limit}"] = ratio(hits, n("true"))
            figures[f"f1_{limit}"] = ratio(2 * hits, n("predicted") + n("true"))
        figures["false_box_rate"] = wilson(self.false, self.absent)
        return figures

    def figures(self) -> dict[str, float]:
        """The values of `measured`, 0 where there was no case."""
        return {name: figure.value or 0.0 for name, figure in self.measured().items()}

    def by_size(self) -> dict[str, dict[str, Figure]]:
        """mean_iou_misses_0 and recall_50 of the true boxes of each of SIZES."""
        overlaps = {size: self._overlaps(size) for size in SIZES}
        return {
            size: {
                "mean_iou_misses_0": ratio(found, np.ones_like(found)),
                "recall_50": wilson(int((found >= 0.5).sum()), len(found)),
            }
            for size, found in overlaps.items()
        }

    def recall_curve(self, steps: int = 20) -> list[dict[str, float | None]]:
        """The share of true boxes that are covered with IoU of at least 0, 1/steps ... 1 (0: at
        all), together and by size; None where there is none."""
        groups = {"all": self._overlaps(None)} | {size: self._overlaps(size) for size in SIZES}
        rows: list[dict[str, float | None]] = []
        for step in range(steps + 1):
            limit = step / steps
            shares = {name: _share(found, limit) for name, found in groups.items()}
            rows.append({"iou": limit, **shares})
        return rows

    def _column(self, name: str) -> NDArray[np.float64]:
        return np.array([getattr(picture, name) for picture in self.pictures], np.float64)

    def _overlaps(self, size: str | None) -> NDArray[np.float64]:
        low, high = SIZES[size] if size else (0.0, 2.0)
        return np.array([overlap for at, overlap in self.covered if low <= at < high], np.float64)


def side(box: BBox) -> float:
    """Of a square of the box's area."""
    return math.sqrt((box[2] - box[0]) * (box[3] - box[1]))


def _share(found: NDArray[np.float64], limit: float) -> float | None:
    covered = found >= limit if limit > 0 else found > 0
    return round(float(covered.mean()), 6) if len(found) else None
