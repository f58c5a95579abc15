"""Pictures of all conditions side by side, and the sweeps as plots."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from spatialgen.drawing import FAILS, UNTESTED, Panel, draw_panels
from spatialgen.evaluation.asked import OFF, ON, PLANNED, SHUFFLED, SWEPT, Case
from spatialgen.evaluation.distances import painted_pictures, true_pictures
from spatialgen.evaluation.painted import Painted
from spatialgen.lake.lake import Lake
from spatialgen.layouts import Layout, make_layout

SHOWN = 6  # cases
WIDEST = 1200  # pixels
CONDITIONS = (OFF, ON, PLANNED, SHUFFLED)
JUDGE = "detector"  # whose figures are plotted
FIGURES = ("geneval", "mig_miou")


def write_sheet(
    lake: Lake, cases: Sequence[Case], painted: Mapping[str, Sequence[Painted]], path: Path
) -> None:
    """A JPEG: a row for each of some cases, the true picture and what was painted for its caption,
    with the boxes that were given."""
    shown = {name: _first_of_each(painted[name]) for name in CONDITIONS if name in painted}
    panels = []
    for case, true in zip(cases[:SHOWN], true_pictures(lake, cases[:SHOWN]), strict=True):
        panels.append(_panel(true, case.wanted, case.example.caption))
        for name, rows in shown.items():
            panels.append(_painted_panel(lake, name, rows.get(case.row_id)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = draw_panels(panels, columns=1 + len(shown))
    sheet.thumbnail((WIDEST, sheet.height))  # git keeps it
    sheet.save(path, quality=80)


def _first_of_each(rows: Sequence[Painted]) -> dict[int, Painted]:
    """By row_id, the one of the first seed."""
    return {each.asked["row_id"]: each for each in reversed(rows)}


def _painted_panel(lake: Lake, condition: str, painted: Painted | None) -> Panel:
    if painted is None or painted.row is None:
        why = "was left out" if painted is None else "failed"
        return Panel(Image.new("RGB", (64, 64), "white"), [], [(f"{condition}: {why}", FAILS)])
    (picture,) = painted_pictures(lake, [painted.row["generation_id"]])
    return _panel(picture, make_layout(painted.row["layout"]), condition)


def _panel(picture: Image.Image, layout: Layout, text: str) -> Panel:
    return Panel(picture, [(each.name, each.bbox) for each in layout], [(text, UNTESTED)])


def write_sweeps(figures: Mapping[str, Any], folder: Path) -> None:
    """A CSV of each swept param: its value, and what the second judge makes of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for param in SWEPT:
        with (folder / f"{param}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([param, *FIGURES, "kid"])
            for value, found in figures["sweeps"][param].items():
                row = [*(found[JUDGE][name]["value"] for name in FIGURES), found["kid"]["value"]]
                writer.writerow([value, *row])
