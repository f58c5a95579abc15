"""Annotated rows to look at: which ones, what is known of them, and their pictures as text."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from spatialgen.drawing import COLOURS
from spatialgen.grounding.pictures import Pictures, UnreadableError
from spatialgen.lake.annotated import annotated_view
from spatialgen.lake.ids import h64_sql
from spatialgen.lake.lake import Lake

MOST_SIDE = 320  # pixels of a picture on the page
QUALITY = 82  # of its JPEG
SIDE = 320  # of the drawing's own units along the longer side
TEXT = 22  # height of a name in these units
VERDICT = {True: "holds", False: "fails", None: "untested"}


@dataclass(frozen=True)
class Box:
    """A box and its name in the drawing's units; the name's text begins at text_x, text_y."""

    name: str
    colour: str
    x: float
    y: float
    width: float
    height: float
    text_x: float
    text_y: float


@dataclass(frozen=True)
class Tile:
    """A row of lake/boxes as the page shows it; `picture` is a data URI, None where `unreadable`
    says why.
    """

    row: Mapping[str, Any]
    picture: str | None
    unreadable: str | None
    width: float
    height: float
    boxes: list[Box]
    relations: list[tuple[str, str]]  # what is stated, verdict


def sample_rows(lake: Lake, where: str, count: int, seed: int) -> list[int]:
    """At most `count` row_ids of lake/boxes that satisfy `where` (see annotated_view), drawn by a
    hash of seed and row_id: more rows in the lake push few of them out.
    """
    order = h64_sql("$seed::varchar", "row_id::varchar")
    with annotated_view(lake, where) as connection:
        found = connection.execute(
            f"select row_id from annotated order by {order}, row_id limit $count",
            {"seed": seed, "count": count},
        ).fetchall()
    return [int(row_id) for (row_id,) in found]


def annotated_rows(lake: Lake, row_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What boxes and captions say of those rows that are in lake/boxes, by row_id."""
    listed = ", ".join(map(str, sorted(set(row_ids))))
    rows = lake.sql(
        "select boxes.row_id, sha256, caption, spatial_type, objects, absent, relations, "
        "spatial_agree, boxes.error from boxes join captions using (row_id) "
        f"where boxes.row_id in ({listed or 'null'}) order by row_id"
    ).to_pylist()
    return {row["row_id"]: row for row in rows}


def statement(relation: Mapping[str, Any]) -> str:
    """What a caption states, such as "猫 left 狗"; without objects, of the picture itself."""
    objects = "、".join(relation["objects"]) or "picture"
    return f"{relation['subject']} {relation['relation']} {objects}"


class Tiles:
    """Makes tiles of rows of lake/boxes; its pictures are looked up once."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.pictures = Pictures(lake["images"].dataset())

    def __call__(self, row_ids: Sequence[int]) -> list[Tile]:
        """In the order of `row_ids`; without those that are not annotated."""
        rows = annotated_rows(self.lake, row_ids)
        return [_tile(self.pictures, rows[row_id]) for row_id in row_ids if row_id in rows]

    def sample(self, where: str, count: int, seed: int) -> list[Tile]:
        """Of the rows that `sample_rows` draws."""
        return self(sample_rows(self.lake, where, count, seed))


def _tile(pictures: Pictures, row: Mapping[str, Any]) -> Tile:
    try:
        picture, unreadable = pictures.show(row["sha256"]), None
    except UnreadableError as error:
        picture, unreadable = Image.new("RGB", (SIDE, SIDE)), str(error)
    scale = SIDE / max(picture.size)
    width, height = picture.width * scale, picture.height * scale
    return Tile(
        row,
        None if unreadable else as_uri(picture, (MOST_SIDE, MOST_SIDE)),
        unreadable,
        round(width, 1),
        round(height, 1),
        _boxes(row["objects"], width, height),
        [(statement(each), VERDICT[each["agrees"]]) for each in row["relations"]],
    )


def as_uri(picture: Image.Image, most: tuple[int, int]) -> str:
    """The picture, no wider and higher than `most` pixels, as a JPEG that a page holds."""
    small = picture.copy()
    small.thumbnail(most, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _boxes(objects: Sequence[Mapping[str, Any]], width: float, height: float) -> list[Box]:
    """Things of one name have one colour; a name stands above its box, or inside at the top."""
    names = list(dict.fromkeys(each["name"] for each in objects))
    boxes = []
    for each in objects:
        x1, x2 = (side * width for side in each["bbox"][::2])
        y1, y2 = (side * height for side in each["bbox"][1::2])
        name, colour = each["name"], COLOURS[names.index(each["name"]) % len(COLOURS)]
        text_x = max(2.0, min(x1 + 2, width - TEXT * len(name) - 2))
        text_y = y1 - 4 if y1 > TEXT + 4 else y1 + TEXT + 1
        places = (x1, y1, x2 - x1, y2 - y1, text_x, text_y)
        boxes.append(Box(name, colour, *(round(place, 1) for place in places)))
    return boxes
