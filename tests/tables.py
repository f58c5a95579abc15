"""A small lake of literal rows: four captions, three of them spatial, and two pictures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import as_blobs
from spatialgen.lake.schemas import TABLES, TableSpec, is_blob

SHA = {1: "1" * 64, 2: "2" * 64}
JUDGED = {"p_strong": 0.9, "p_weak": 0.1, "p_none": 0.0, "tier": "judge", "error": None}
RELATION = {"relation": "left", "subject": "猫", "objects": ["狗"], "agrees": True}
CAT = {"name": "猫", "bbox": [0.0, 0.0, 0.5, 0.5], "self_iou": None}
DOG = {"name": "狗", "bbox": [0.5, 0.0, 1.0, 1.0], "self_iou": None}


def caption(row_id: int, **changed: Any) -> dict[str, Any]:
    url, text = f"http://a.test/{row_id}", f"猫在狗的左边{row_id}"
    row = {"row_id": row_id, "url": url, "caption": text, "spatial_type": "strong", **JUDGED}
    return row | changed


def download(row_id: int, **changed: Any) -> dict[str, Any]:
    row = {"row_id": row_id, "sha256": SHA[row_id], "status": "ok", "reason": None}
    return row | {"http_status": 200, "host": "a.test"} | changed


def image(number: int, **changed: Any) -> dict[str, Any]:
    row = {"sha256": SHA[number], "image": b"bytes", "width": 200, "height": 100}
    return row | {"format": "png", "n_bytes": 5, "phash": number} | changed


def boxes(row_id: int, **changed: Any) -> dict[str, Any]:
    row = {"row_id": row_id, "sha256": SHA[row_id], "objects": [CAT, DOG], "absent": []}
    row |= {"relations": [RELATION], "spatial_agree": True, "self_iou": None, "problems": []}
    return row | {"raw": [], "error": None} | changed


def split(row_id: int, name: str, **changed: Any) -> dict[str, Any]:
    return {"row_id": row_id, "group_id": row_id, "split": name} | changed


def sound() -> dict[str, list[dict[str, Any]]]:
    """Rows by table; nothing is wrong with them."""
    gone = {"sha256": None, "status": "permanent", "reason": "gone", "http_status": 404}
    captions = [
        caption(1),
        caption(2, spatial_type="weak"),
        caption(3),
        caption(4, spatial_type="none", p_strong=0.0, p_none=0.9),
    ]
    return {
        "candidates": [{k: row[k] for k in ("row_id", "url", "caption")} for row in captions],
        "rejects": [{"file": "a.csv", "line": 7, "reason": "columns", "raw": "x"}],
        "captions": captions,
        "downloads": [download(1), download(2), {**download(1), "row_id": 3} | gone],
        "images": [image(1), image(2)],
        "boxes": [boxes(1), boxes(2)],
        "splits": [split(1, "train"), split(2, "test")],
    }


def figures() -> dict[str, Any]:
    """Metrics by stage that agree with `sound`."""
    counts = {"records": 10, "rejected": 1, "unmatched": 4, "duplicates": 1, "candidates": 4}
    return {
        "candidates": counts,
        "filter": {"spatial_share": {"value": 0.9}},
        "annotate": {"truth": {"mean_iou_misses_0": {"value": 0.9}}},
    }


def make_lake(
    folder: Path, rows: dict[str, list[dict[str, Any]]], metrics: dict[str, Any] | None = None
) -> Lake:
    """A lake at folder/lake with these rows, by table, and these metrics, by stage."""
    lake = Lake(folder / "lake", store=folder / ".lake")
    for name, wanted in rows.items():
        publish_as_they_are(lake, TABLES[name], wanted)
    (folder / "metrics").mkdir(exist_ok=True)
    for stage, numbers in (metrics or {}).items():
        (folder / "metrics" / f"{stage}.json").write_text(json.dumps(numbers))
    return lake


def publish(lake: Lake, spec: TableSpec, rows: Iterable[Mapping[str, Any]]) -> None:
    """Publish a table of these rows, in key order; columns that they lack are null, and what the
    table lacks is left out."""
    ordered = sorted(rows, key=lambda row: [row[name] for name in spec.key])
    publish_as_they_are(lake, spec, ordered)


def publish_as_they_are(lake: Lake, spec: TableSpec, ordered: Sequence[Mapping[str, Any]]) -> None:
    """The same without a sort, so that a key may come twice."""
    columns = []
    for field in spec.schema:
        values = [row.get(field.name) for row in ordered]
        if is_blob(field):
            columns.append(as_blobs(pa.array(values, pa.large_binary())))
        else:
            columns.append(pa.array(values, field.type))
    lake.publish(spec, [pa.RecordBatch.from_arrays(columns, schema=spec.schema)])
