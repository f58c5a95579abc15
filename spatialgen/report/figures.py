"""Numbers of metrics and manifests, and how people read them."""

from collections.abc import Mapping
from typing import Any

from spatialgen.lake.lake import Lake

Facts = Mapping[str, float]
"""Every number of metrics/*.json and lake/*.json, such as metrics/filter.strong."""

PARTS = ("value", "lo", "hi", "n")  # of a figure that was measured


def read_facts(lake: Lake) -> Facts:
    """The numbers by file and name."""
    rows = lake.sql("select file || '.' || name as name, value from metrics").to_pylist()
    return {row["name"]: row["value"] for row in rows}


def measured(facts: Facts) -> dict[str, dict[str, Any]]:
    """The figures with an interval, by name: name (without metrics/), value, lo, hi, n."""
    names = sorted(name.removesuffix(".value") for name in facts if name.endswith(".value"))
    return {
        name: {"name": name.removeprefix("metrics/")}
        | {part: facts[f"{name}.{part}"] for part in PARTS}
        for name in names
        if all(f"{name}.{part}" in facts for part in PARTS)
    }


def thousands(count: float | None) -> str:
    """A count for people."""
    return "–" if count is None else f"{count:,.0f}"


def percent(share: float | None) -> str:
    """A share in percent: two digits after the point below 1 %, one above, none at 0 and 1."""
    if share is None:
        return "–"
    digits = 0 if share in (0, 1) else 1 if abs(share) >= 0.01 else 2
    return f"{100 * share:.{digits}f} %"
