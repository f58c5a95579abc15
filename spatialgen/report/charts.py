"""The geometry of the page's charts, in percent of their area; charts.html draws it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_TICKS = 6
STEPS = (1, 2, 2.5, 5, 10)  # times a power of ten


@dataclass(frozen=True)
class Tick:
    """A label at `at` percent of the axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Column:
    """A bin: where it begins, how wide it is, and the heights of its parts from the bottom up."""

    left: float
    width: float
    heights: tuple[float, ...]
    label: str


@dataclass(frozen=True)
class Histogram:
    """Columns of counted bins; `top` is the count of the fullest."""

    columns: list[Column]
    ticks: list[Tick]
    top: int


def histogram(
    rows: Sequence[Mapping[str, Any]],
    x: str,
    parts: Sequence[str],
    *,
    step: float,
    lo: float | None = None,
    ticks: Mapping[float, str] | None = None,
) -> Histogram:
    """Bins of width `step` whose lower end is in column `x`, with the counts of columns `parts`
    stacked. The axis begins at `lo` (default: the first bin) and ends with the last bin or the last
    of `ticks`, labels by place (default: round numbers).
    """
    begin: float = min(row[x] for row in rows) if lo is None else lo
    end: float = max([row[x] + step for row in rows] + list(ticks or []))
    top = max(1, *(sum(row[part] for part in parts) for row in rows))
    labels = ticks or {place: f"{place:g}" for place in round_numbers(begin, end)}

    def percent(place: float) -> float:
        return round(100 * (place - begin) / (end - begin), 2)

    columns = [
        Column(
            percent(row[x]),
            percent(begin + step),
            tuple(round(100 * row[part] / top, 2) for part in parts),
            f"{row[x]:g}: " + ", ".join(f"{row[part]:,} {part}" for part in parts),
        )
        for row in rows
    ]
    return Histogram(columns, [Tick(percent(at), label) for at, label in labels.items()], top)


def round_numbers(begin: float, end: float) -> list[float]:
    """At most MOST_TICKS evenly spaced round numbers within [begin, end]."""
    rough = (end - begin) / MOST_TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in STEPS if factor * power >= rough)
    first, last = math.ceil(begin / step), math.floor(end / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
