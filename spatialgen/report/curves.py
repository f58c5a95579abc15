"""Training curves: plots/train_*, as dvclive writes them, a panel per figure with its train and val
curves in one."""

import csv
import math
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from spatialgen.report.charts import Tick, round_numbers

X = "step"
MOST_POINTS = 400  # of a curve: a page shows no more
MOST = 1e100  # larger ones are as little a curve as infinity
SPLIT = re.compile(r"^(train|val)/")


@dataclass(frozen=True)
class Curve:
    """A figure of a training: the points of an SVG polyline in a square of 100, and its last
    value."""

    name: str
    points: str
    last: float


@dataclass(frozen=True)
class Panel:
    """Curves of one figure on common axes."""

    training: str
    figure: str
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


Points = list[tuple[float, float]]


def read_panels(folder: Path) -> list[Panel]:
    """The panels of every training that has a folder train_* with plots/metrics in `folder`."""
    panels = []
    for training in sorted(folder.glob("train_*")):
        curves = sorted(_curves(training).items(), key=lambda item: figure_of(item[0]))
        for figure, group in groupby(curves, key=lambda item: figure_of(item[0])):
            panels.append(_panel(training.name, figure, dict(group)))
    return panels


def figure_of(name: str) -> str:
    """What a curve shows: its name without the split, `loss` of val/loss."""
    return SPLIT.sub("", name)


def _curves(training: Path) -> dict[str, Points]:
    """(step, value) of every figure that is a finite number, in the order of the steps; figures are
    named by their files, as in train/loss."""
    curves: dict[str, Points] = {}
    metrics = training / "plots" / "metrics"
    for path in sorted(metrics.rglob("*.tsv")):
        name = path.relative_to(metrics).with_suffix("").as_posix()
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                step, value = _number(row.get(X)), _number(row.get(path.stem))
                if step is not None and value is not None:
                    curves.setdefault(name, []).append((step, value))
    return {name: sorted(points) for name, points in curves.items()}


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if abs(value) < MOST else None


def _panel(training: str, figure: str, named: dict[str, Points]) -> Panel:
    steps, values = zip(*(point for points in named.values() for point in points), strict=True)
    x_range, y_range = _range(*steps), _range(*values)
    curves = [
        Curve(name, _polyline(points, x_range, y_range), points[-1][1])
        for name, points in named.items()
    ]
    x_ticks, y_ticks = (
        [Tick(_percent(at, limits), f"{at:g}") for at in round_numbers(*limits)]
        for limits in (x_range, y_range)
    )
    return Panel(training, figure, curves, x_ticks, y_ticks)


def _range(*values: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    half = max(0.5, 1e-6 * abs(low))  # 0.5 would be lost in a large number
    return (low, high) if high - low > 1e-9 * abs(low) else (low - half, high + half)


def _polyline(points: Points, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    stride = math.ceil(len(points) / MOST_POINTS)
    kept = points[::stride] if points[-1] in points[::stride] else [*points[::stride], points[-1]]
    return " ".join(f"{_percent(x, x_range)},{100 - _percent(y, y_range):.2f}" for x, y in kept)


def _percent(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return round(100 * (value - low) / (high - low), 2)
