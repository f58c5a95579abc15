"""Curves: plots/train_*, as dvclive writes them, with what belongs together in one panel, and what
stage evaluate found for each value of a param."""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from spatialgen.report.charts import Tick, round_numbers

X = "step"
MOST_POINTS = 400  # of a curve: a page shows no more
MOST = 1e100  # larger ones are as little a curve as infinity
SPLIT = re.compile(r"^(train|val)/")
SWEPT = ("geneval", "mig_miou")  # shares, so that one axis has them all


@dataclass(frozen=True)
class Curve:
    """A figure of a training: the points of an SVG polyline in a square of 100, and its last
    value."""

    name: str
    points: str
    last: float


@dataclass(frozen=True)
class Panel:
    """Curves of one figure over `x` on common axes, from plots/`source`."""

    source: str
    figure: str
    x: str
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


Points = list[tuple[float, float]]


def read_panels(folder: Path) -> list[Panel]:
    """The panels of every training that has a folder train_* with plots/metrics in `folder`."""
    panels = []
    for training in sorted(folder.glob("train_*")):
        curves = _curves(training)
        panel_of = panels_of(curves)
        ordered = sorted(curves.items(), key=lambda item: panel_of[item[0]])
        for figure, group in groupby(ordered, key=lambda item: panel_of[item[0]]):
            panels.append(_panel(training.name, figure, "steps", dict(group)))
    return panels


def read_sweeps(folder: Path) -> list[Panel]:
    """A panel for each param of which `folder` has figures of several values, as <param>.csv."""
    panels = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        named = {name: _points(rows, path.stem, name) for name in SWEPT}
        drawn = {name: points for name, points in named.items() if len(points) > 1}
        if drawn:
            panels.append(_panel(f"{folder.name}/{path.name}", path.stem, path.stem, drawn))
    return panels


def figure_of(name: str) -> str:
    """What a curve shows: its name without the split, `loss` of val/loss."""
    return SPLIT.sub("", name)


def panels_of(names: Iterable[str]) -> dict[str, str]:
    """The panel of each curve: its figure, or, of `error_without`, the figure `error` where that is
    one, too: such are measured to be compared."""
    figures = {name: figure_of(name) for name in names}
    return {
        name: min(
            (each for each in figures.values() if f"{figure}_".startswith(f"{each}_")), key=len
        )
        for name, figure in figures.items()
    }


def _curves(training: Path) -> dict[str, Points]:
    """(step, value) of every figure that is a finite number, in the order of the steps; figures are
    named by their files, as in train/loss."""
    curves: dict[str, Points] = {}
    metrics = training / "plots" / "metrics"
    for path in sorted(metrics.rglob("*.tsv")):
        name = path.relative_to(metrics).with_suffix("").as_posix()
        with path.open(newline="", encoding="utf-8") as file:
            points = _points(csv.DictReader(file, delimiter="\t"), X, path.stem)
        if points:
            curves[name] = points
    return curves


def _points(rows: Iterable[Mapping[str, str]], x: str, y: str) -> Points:
    """Those of which both are finite numbers, from left to right."""
    pairs = [(_number(row.get(x)), _number(row.get(y))) for row in rows]
    return sorted((a, b) for a, b in pairs if a is not None and b is not None)


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if abs(value) < MOST else None


def _panel(source: str, figure: str, x: str, named: Mapping[str, Points]) -> Panel:
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
    return Panel(source, figure, x, curves, x_ticks, y_ticks)


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
