"""Pictures with captions and boxes as a folder that trainers read, in one of two forms.

jsonl   samples.jsonl has a line per row of lake/boxes: image_path (from the folder), caption,
        objects (name, bbox [x1, y1, x2, y2] in 0..1), then url, row_id and spatial_type.
coco    annotations.json has an image per picture, and an annotation (bbox [x, y, width, height] in
        pixels) per box. Where several rows share a picture, `row_id` and `caption` are of the first
        one, `captions` lists them all, and a box that equals another of its name is there once.

images/<first two digits>/<sha256>.<format> are the files as they came, each once.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import duckdb
import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.errors import InputError, LakeError
from spatialgen.exchange.forms import Form
from spatialgen.exchange.places import new_folder
from spatialgen.lake.annotated import annotated_view
from spatialgen.lake.lake import Lake

BATCH_ROWS = 8192
READ_BYTES = 8 << 20  # of pictures in memory at once, or one that is larger
IMAGES, SAMPLES, ANNOTATIONS = "images", "samples.jsonl", "annotations.json"
PIXEL_DIGITS = 3  # of a coordinate in pixels

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Exported:
    """What a folder holds."""

    rows: int
    pictures: int


def export_samples(
    lake: Lake, folder: Path, form: Form, *, where: str = "true", force: bool = False
) -> Exported:
    """Write the rows of lake/boxes without an error that satisfy `where` (SQL; see annotated_view)
    to `folder`, with their pictures.

    Memory stays at some pictures and 64 bytes per picture. The folder appears when it is complete;
    one that is there is replaced only with `force`, and only where an export wrote it.
    """
    with (
        new_folder(folder, (IMAGES, SAMPLES, ANNOTATIONS), force=force) as scratch,
        annotated_view(lake, where) as connection,
    ):
        connection.execute("create view sample as from annotated where error is null")
        rows, wanted = _count(connection, where)
        WRITERS[form](connection, scratch)
        pictures = write_pictures(lake["images"].dataset(), wanted, scratch)
    return Exported(rows, pictures)


def _count(connection: duckdb.DuckDBPyConnection, where: str) -> tuple[int, pa.Array]:
    """The rows, and the sha256 of their pictures, each once."""
    ((rows, lost),) = connection.sql(
        "select count(*), count(*) filter (format is null) from sample"
    ).fetchall()
    if not rows:
        raise InputError(f'no row of lake/boxes satisfies --where "{where}"; widen it')
    if lost:
        raise LakeError(
            f"lake/images lacks the pictures of {lost} of {rows} rows of lake/boxes; they are of "
            'different revisions: run "dvc checkout", or "dvc repro"'
        )
    wanted = connection.sql("select distinct sha256 from sample").to_arrow_table()
    return rows, wanted["sha256"].combine_chunks()


def image_path(row: Row) -> str:
    """Where a picture's file is in the folder."""
    return f"{IMAGES}/{row['sha256'][:2]}/{row['sha256']}.{row['format']}"


def write_pictures(dataset: lance.LanceDataset, wanted: pa.Array, folder: Path) -> int:
    """Write the pictures of an images table whose sha256 is `wanted`; how many there are."""
    written = 0
    columns = ["sha256", "format", "n_bytes"]
    scanner = dataset.scanner(columns=columns, with_row_address=True, batch_size=BATCH_ROWS)
    for batch in scanner.to_reader():
        chosen = batch.filter(pc.is_in(batch["sha256"], value_set=wanted))
        for part in _by_size(chosen):
            addresses = part["_rowaddr"].to_pylist()
            blobs = dataset.read_blobs("image", addresses=addresses, preserve_order=True)
            for row, (_, content) in zip(part.to_pylist(), blobs, strict=True):
                path = folder / image_path(row)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        written += chosen.num_rows
    return written


def _by_size(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in stretches of about READ_BYTES of pictures."""
    stretch = np.cumsum(rows["n_bytes"].to_numpy()) // READ_BYTES
    borders = [0, *(np.flatnonzero(np.diff(stretch)) + 1).tolist(), rows.num_rows]
    for start, end in pairwise(borders):
        if start < end:
            yield rows.slice(start, end - start)


def _rows(connection: duckdb.DuckDBPyConnection, order: str) -> Iterator[dict[str, Any]]:
    reader = connection.sql(
        "select row_id, url, caption, spatial_type, sha256, format, width, height, objects "
        f"from sample order by {order}"
    ).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        yield from batch.to_pylist()


def _write_jsonl(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    with (folder / SAMPLES).open("w", encoding="utf-8") as file:
        for row in _rows(connection, "row_id"):
            sample = {
                "image_path": image_path(row),
                "caption": row["caption"],
                "objects": [
                    {"name": each["name"], "bbox": [_shortest(side) for side in each["bbox"]]}
                    for each in row["objects"]
                ],
                "url": row["url"],
                "row_id": row["row_id"],
                "spatial_type": row["spatial_type"],
            }
            file.write(json.dumps(sample, ensure_ascii=False) + "\n")


def _shortest(side: float) -> float:
    """The number of fewest digits that is this 32-bit one: 0.1 and not 0.10000000149011612."""
    return float(str(np.float32(side)))


def _write_coco(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    names = connection.sql(
        "select distinct o.name from (select unnest(objects) as o from sample) order by 1"
    ).fetchall()
    categories = {name: number for number, (name,) in enumerate(names, 1)}
    # Its lists come one after the other, so the rows are read once for each.
    with (folder / ANNOTATIONS).open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "spatialgen export boxes"},\n"images": [')
        _write_items(file.write, _coco_images(connection))
        file.write('],\n"annotations": [')
        _write_items(file.write, _coco_annotations(connection, categories))
        file.write('],\n"categories": [')
        _write_items(
            file.write, ({"id": number, "name": name} for name, number in categories.items())
        )
        file.write("]}\n")


def _write_items(write: Callable[[str], object], items: Iterator[Row]) -> None:
    for number, item in enumerate(items):
        write((",\n" if number else "\n") + json.dumps(item, ensure_ascii=False))


def _by_picture(
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The rows of each picture, under the picture's number from 1, in the same order each time."""
    rows = groupby(_rows(connection, "sha256, row_id"), lambda row: row["sha256"])
    for number, (_, sharing) in enumerate(rows, 1):
        yield number, list(sharing)


def _coco_images(connection: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    for number, rows in _by_picture(connection):
        captions = [{"row_id": row["row_id"], "caption": row["caption"]} for row in rows]
        yield {
            "id": number,
            "file_name": image_path(rows[0]),
            "width": rows[0]["width"],
            "height": rows[0]["height"],
            **captions[0],
            "captions": captions,
        }


def _coco_annotations(
    connection: duckdb.DuckDBPyConnection, categories: Mapping[str, int]
) -> Iterator[Row]:
    annotation = 0
    for number, rows in _by_picture(connection):
        seen = set()
        for row in rows:
            for each in row["objects"]:
                box = (each["name"], *each["bbox"])
                if box in seen:
                    continue
                seen.add(box)
                annotation += 1
                x1, y1, x2, y2 = each["bbox"]
                wide, high = (x2 - x1) * row["width"], (y2 - y1) * row["height"]
                corner = x1 * row["width"], y1 * row["height"]
                yield {
                    "id": annotation,
                    "image_id": number,
                    "category_id": categories[each["name"]],
                    "bbox": [round(side, PIXEL_DIGITS) for side in (*corner, wide, high)],
                    "area": round(wide * high, PIXEL_DIGITS),
                    "iscrowd": 0,
                    "row_id": row["row_id"],
                }


WRITERS = {Form.jsonl: _write_jsonl, Form.coco: _write_coco}
