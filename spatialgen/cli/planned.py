"""`spatialgen plan`: captions as layouts, printed and drawn."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from PIL import Image

from spatialgen.cli.show import COLOUR, save_panels
from spatialgen.drawing import SIDE, Panel
from spatialgen.layouts import Layout, boxes_by_name, format_layout
from spatialgen.relations.referee import judge, spatial_agree
from spatialgen.report.pictures import VERDICT, statement

CANVAS = "#f6f8fa"


def layout_table(captions: Sequence[str], layouts: Sequence[Layout]) -> pa.Table:
    """Each caption with its layout's text form, and whether the referee finds its positions in it
    (null: it states none that can be tested)."""
    agrees = [
        spatial_agree(judge(caption, boxes_by_name(layout)))
        for caption, layout in zip(captions, layouts, strict=True)
    ]
    texts = [format_layout(layout) for layout in layouts]
    columns = {"caption": [*captions], "layout": texts, "agrees": pa.array(agrees, pa.bool_())}
    return pa.table(columns)


def draw_layouts(captions: Sequence[str], layouts: Sequence[Layout], out: Path) -> None:
    """Write the layouts as boxes on empty squares, with the caption and the referee's verdicts."""
    panels = []
    for caption, layout in zip(captions, layouts, strict=True):
        lines = [(caption, "black")]
        for each in judge(caption, boxes_by_name(layout)):
            stated = {"relation": each.relation.kind, "subject": each.relation.subject,
                      "objects": each.relation.objects}  # fmt: skip
            lines.append((f"{statement(stated)}: {VERDICT[each.agrees]}", COLOUR[each.agrees]))
        canvas = Image.new("RGB", (SIDE, SIDE), CANVAS)
        panels.append(Panel(canvas, [(each.name, each.bbox) for each in layout], lines))
    save_panels(panels, out, columns=min(4, len(panels)))
