"""What the generator paints, as stage evaluate measured it: metrics/evaluate.json, plots/evaluate.

A figure without a number in the metrics was not measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from spatialgen.report.curves import Panel, read_sweeps
from spatialgen.report.figures import PARTS, Facts, measured, percent, thousands
from spatialgen.report.pictures import as_uri

METRICS = "metrics/evaluate."
# Conditions, and which boxes are given; those that are PAINTED are the sheet's columns, in order.
CONDITIONS = {
    "off": "none, and the generator without the adapter",
    "on": "the row's own",
    "planned": "those that the planner writes for the caption",
    "shuffled": "another row's, with the row's own names; the row's own are asked for all the same",
    "reconstruction": "nothing is painted: the true picture, through the autoencoder; the most "
    "that these judges would find",
    "chance": "there is no picture: the row's things, in boxes drawn from those of all rows",
}
PAINTED = ("off", "on", "planned", "shuffled")
TRUE = "true picture"
JUDGES = ("annotator", "detector")
NONE = "–"  # no number can be there
MOST_WIDTH, MOST_HEIGHT = 1200, 2400  # pixels of the sheet on the page

Show = Callable[[float], str]
JUDGED: Mapping[str, tuple[str, Show]] = {
    "geneval": ("stated sides that hold (geneval)", percent),
    "mig_hit": ("things where they are wanted (mig, IoU 0.5)", percent),
    "mig_miou": ("mean IoU, misses 0", "{:.3f}".format),
    "present": ("things that are there", percent),
}
DISTANCES: Mapping[str, tuple[str, Show]] = {
    "kid": ("KID", "{:.4f}".format),
    "fid": ("FID", "{:.2f}".format),
}


@dataclass(frozen=True)
class Cell:
    """A figure of a condition, and its 95 % interval where it has one."""

    value: str
    interval: str | None = None


@dataclass(frozen=True)
class Line:
    """A figure as a judge sees it (None: no judge does): a cell for each condition, and the number
    of its cases, such as "200" or "193–200"."""

    judge: str | None
    cells: list[Cell]
    n: str


@dataclass(frozen=True)
class Generator:
    """What the page's section says; `lines` are by figure, `sheet` is a data URI, None where there
    is no such file, and `figures` are all that have an interval."""

    captions: float
    pictures: float
    failed: float
    conditions: dict[str, str]
    lines: dict[str, list[Line]]
    sheet: str | None
    columns: list[str]
    sweeps: list[Panel]
    figures: list[dict[str, Any]]


def read_generator(facts: Facts, plots: Path) -> Generator | None:
    """What was painted and measured; None where stage evaluate has not run."""
    if f"{METRICS}rows" not in facts:
        return None
    shown = {name: says for name, says in CONDITIONS.items() if _has(facts, name)}
    sheet = plots / "evaluate" / "sheet.jpg"
    return Generator(
        captions=facts[f"{METRICS}captions"],
        pictures=facts[f"{METRICS}rows"],
        failed=facts[f"{METRICS}failed"],
        conditions=shown,
        lines=_lines(facts, [*shown]),
        sheet=_sheet(sheet) if sheet.exists() else None,
        columns=[TRUE, *(name for name in PAINTED if name in shown)],
        sweeps=read_sweeps(plots / "evaluate"),
        figures=[each for name, each in measured(facts).items() if name.startswith(METRICS)],
    )


def _has(facts: Facts, condition: str) -> bool:
    return any(name.startswith(f"{METRICS}{condition}.") for name in facts)


def _lines(facts: Facts, conditions: Sequence[str]) -> dict[str, list[Line]]:
    lines = {
        says: [_line(facts, conditions, f"{judge}.{name}", show, judge) for judge in JUDGES]
        for name, (says, show) in JUDGED.items()
    }
    for name, (says, show) in DISTANCES.items():
        lines[says] = [_line(facts, conditions, name, show)]
    seconds = [facts.get(f"{METRICS}{name}.seconds") for name in conditions]
    cells = [Cell(NONE if each is None else f"{each:.3g}") for each in seconds]
    return {**lines, "seconds per picture": [Line(None, cells, NONE)]}


def _line(
    facts: Facts, conditions: Sequence[str], figure: str, show: Show, judge: str | None = None
) -> Line:
    found = [
        {part: facts.get(f"{METRICS}{name}.{figure}.{part}") for part in PARTS}
        for name in conditions
    ]
    cells = [
        _cell(each, show, NONE if name == "chance" and judge is None else "not measured")
        for name, each in zip(conditions, found, strict=True)
    ]
    counts = [each["n"] for each in found if each["n"]]
    ends = dict.fromkeys(thousands(end(counts)) for end in (min, max)) if counts else (NONE,)
    return Line(judge, cells, "–".join(ends))


def _cell(figure: Mapping[str, float | None], show: Show, lacking: str) -> Cell:
    """An interval has its unit once, for six of them stand side by side."""
    value, lo, hi = (figure[part] for part in ("value", "lo", "hi"))
    if value is None:
        return Cell(lacking)
    if lo is None or hi is None:
        return Cell(show(value))
    return Cell(show(value), f"{show(lo).removesuffix(' %')} to {show(hi)}")


def _sheet(path: Path) -> str:
    with Image.open(path) as picture:
        return as_uri(picture, (MOST_WIDTH, MOST_HEIGHT))
