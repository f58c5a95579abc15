"""`spatialgen show`: annotated rows as pictures."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from spatialgen.drawing import AGREES, FAILS, UNTESTED, Panel, draw_panels
from spatialgen.errors import InputError
from spatialgen.grounding.pictures import Pictures, UnreadableError
from spatialgen.lake.annotated import annotated_view
from spatialgen.lake.lake import Lake
from spatialgen.report.pictures import VERDICT, annotated_rows, statement

COLOUR = {True: AGREES, False: FAILS, None: UNTESTED}


def show_rows(lake: Lake, row_ids: Sequence[int], out: Path, columns: int = 4) -> pa.Table:
    """Write the pictures of these rows to `out`, with boxes, captions and verdicts drawn; what is
    on them, row by row. InputError for a row that is not in lake/boxes.
    """
    rows = _rows(lake, row_ids)
    pictures = Pictures(lake["images"].dataset())
    panels = [_panel(pictures, row) for row in rows]
    save_panels(panels, out, columns=1 if len(panels) == 1 else columns)
    return pa.table(
        {name: [row[name] for row in rows] for name in ("row_id", "caption", "spatial_agree")}
    )


def save_panels(panels: Sequence[Panel], out: Path, columns: int) -> None:
    """Write panels to one picture; InputError where `out` cannot be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draw_panels(panels, columns).save(out, quality=90)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{out} cannot be written ({error}); give a .jpg or .png file that can hold "
            f"{len(panels)} pictures, or more --columns"
        ) from None


def choose_rows(lake: Lake, count: int, where: str, seed: int) -> list[int]:
    """`count` rows drawn at random of those of lake/boxes that satisfy `where` (see
    annotated_view); all of them where there are fewer, InputError where there is none."""
    with annotated_view(lake, where) as connection:
        rows = connection.sql("select row_id from annotated order by row_id").fetchall()
    if not rows:
        raise InputError(f'no row of lake/boxes satisfies --where "{where}"; widen it')
    chosen = random.Random(seed).sample(rows, min(count, len(rows)))
    return sorted(row_id for (row_id,) in chosen)


def _rows(lake: Lake, row_ids: Sequence[int]) -> list[dict[str, Any]]:
    rows = annotated_rows(lake, row_ids)
    if missing := set(row_ids) - rows.keys():
        raise InputError(
            f"row {min(missing)} is not in lake/boxes; find one with "
            'spatialgen sql "select row_id from boxes limit 5"'
        )
    return list(rows.values())


def _panel(pictures: Pictures, row: dict[str, Any]) -> Panel:
    try:
        picture = pictures.show(row["sha256"])
    except UnreadableError as error:
        raise InputError(f"the picture of row {row['row_id']} is damaged: {error}") from None
    lines = [(row["caption"], "black")]
    for each in row["relations"]:
        said = f"{statement(each)}: {VERDICT[each['agrees']]}"
        lines.append((said, COLOUR[each["agrees"]]))
    if row["absent"]:
        lines.append((f"absent: {'、'.join(row['absent'])}", UNTESTED))
    if row["error"]:
        lines.append((row["error"], FAILS))
    lines.append((f"row {row['row_id']}", UNTESTED))
    return Panel(picture, [(each["name"], each["bbox"]) for each in row["objects"]], lines)
