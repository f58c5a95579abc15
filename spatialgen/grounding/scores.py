"""How well predicted boxes cover the true ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BBox = Sequence[float]  # [x1, y1, x2, y2]


def iou(a: BBox, b: BBox) -> float:
    """Intersection over union of two boxes of positive area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


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


@dataclass
class BoxScores:
    """Sums over pictures, matched within each name: add pictures, then read the figures."""

    true: int = 0
    predicted: int = 0
    hits: int = 0  # pairs with IoU >= 0.5
    overlap: float = 0.0  # sum of the IoU of pairs
    matched: int = 0
    absent: int = 0  # names asked for that were not in the picture
    false: int = 0  # of these, the ones that got a box

    def add(
        self, predicted: Mapping[str, Sequence[BBox]], true: Mapping[str, Sequence[BBox]]
    ) -> None:
        """One picture: boxes by name; a true name without boxes was planted and is absent."""
        for name, boxes in true.items():
            found = predicted.get(name, ())
            if not boxes:
                self.absent += 1
                self.false += bool(found)
                continue
            pairs = match(found, boxes)
            self.true += len(boxes)
            self.predicted += len(found)
            self.matched += len(pairs)
            self.overlap += sum(overlap for _, _, overlap in pairs)
            self.hits += sum(overlap >= 0.5 for _, _, overlap in pairs)

    def figures(self) -> dict[str, float]:
        """mean_iou (of matched boxes), mean_iou_misses_0, precision, recall and F1 at IoU 0.5, and
        false_box_rate: the share of absent names that got a box."""
        precision = self.hits / max(1, self.predicted)
        recall = self.hits / max(1, self.true)
        return {
            "mean_iou": self.overlap / max(1, self.matched),
            "mean_iou_misses_0": self.overlap / max(1, self.true),
            "precision_50": precision,
            "recall_50": recall,
            "f1_50": 2 * precision * recall / max(1e-9, precision + recall),
            "false_box_rate": self.false / max(1, self.absent),
        }
