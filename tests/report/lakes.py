"""Lakes made by hand for the report: pictures of the sample world with their true boxes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from spatialgen.evaluation.sheets import write_sweeps
from spatialgen.grounding.metrics import count_boxes
from spatialgen.grounding.scores import BoxScores
from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import as_blobs
from spatialgen.lake.schemas import (
    BOXES,
    CANDIDATES,
    CAPTIONS,
    DOWNLOADS,
    IMAGES,
    REJECTS,
)
from spatialgen.metrics import write_metrics
from spatialgen.params import load_params
from spatialgen.relations.referee import judge, spatial_agree
from spatialgen.sample.world.pictures import as_jpeg
from spatialgen.sample.world.view import web_view
from spatialgen.splits import publish_splits
from tests.conftest import REPOSITORY
from tests.tables import publish

PICTURES_AT_ONCE = 500  # in memory
Row = dict[str, Any]  # url, caption, host, objects by name, picture, size


def drawn_rows(count: int) -> list[Row]:
    """Spatial captions of the sample world with their pictures."""
    rows = []
    for index in range(count):
        view = web_view("corpus", 1, index, 1.0)
        truth = view.truth()
        row = {"caption": view.situation.caption, "spatial_type": truth["spatial_type"]}
        objects = [
            {"name": each["name"], "bbox": each["bbox"]}
            for each in truth["objects"]
            if each["named"]
        ]
        where = {"url": f"http://h/{index}", "host": "h"}
        picture = {"picture": as_jpeg(view.draw()), "size": (128, 128)}
        rows.append({**row, **where, "objects": objects, **picture})
    return rows


def annotation(row: Row) -> Row:
    """The row of lake/boxes, judged by the referee."""
    by_name: dict[str, list[Any]] = {}
    for each in row["objects"]:
        by_name.setdefault(each["name"], []).append(each["bbox"])
    verdicts = judge(row["caption"], by_name)
    relations = [
        {
            "relation": verdict.relation.kind,
            "subject": verdict.relation.subject,
            "objects": list(verdict.relation.objects),
            "agrees": verdict.agrees,
        }
        for verdict in verdicts
    ]
    return {"row_id": row["row_id"], "sha256": row["sha256"], "objects": row["objects"],
            "absent": row.get("absent", []), "relations": relations,
            "spatial_agree": spatial_agree(verdicts), "problems": [], "raw": []}  # fmt: skip


def keep_pictures(lake: Lake, rows: Sequence[Row]) -> None:
    """Publish lake/images."""
    stored = lake.stored("images", IMAGES.schema)
    for start in range(0, len(rows), PICTURES_AT_ONCE):
        part = rows[start : start + PICTURES_AT_ONCE]
        columns = {
            "sha256": [row["sha256"] for row in part],
            "image": as_blobs(pa.array([row["picture"] for row in part], pa.large_binary())),
            "width": [row["size"][0] for row in part],
            "height": [row["size"][1] for row in part],
            "format": ["jpeg"] * len(part),
            "n_bytes": [len(row["picture"]) for row in part],
            "phash": [None] * len(part),
        }
        arrays = [
            values if isinstance(values, pa.Array) else pa.array(values, field.type)
            for values, field in zip(columns.values(), IMAGES.schema, strict=True)
        ]
        stored.append(pa.Table.from_arrays(arrays, schema=IMAGES.schema))
    dataset = stored.open()
    assert dataset
    lake.publish_blobs(IMAGES, dataset, dataset.to_table(columns=["sha256"]))


def make_lake(root: Path, rows: Sequence[Row]) -> Lake:
    """A lake with every table of `rows`, and one row without a picture; with its metrics."""
    lake = Lake(root / "lake", store=root / ".lake")
    for row in rows:
        row["row_id"] = row_id(row["url"], row["caption"])
        row["sha256"] = hashlib.sha256(row["picture"]).hexdigest()
        row["status"] = "ok"
    gone = {"row_id": 0, "url": "http://h/gone", "caption": "左边是猫", "spatial_type": "strong",
            "status": "permanent", "reason": "gone", "host": "h", "http_status": 404}  # fmt: skip
    publish(lake, CANDIDATES, [*rows, gone])
    publish(lake, REJECTS, [{"file": "1.csv", "line": 7, "reason": "empty_url", "raw": ",左"}])
    publish(lake, CAPTIONS, [*rows, gone])
    keep_pictures(lake, rows)
    publish(lake, DOWNLOADS, [*rows, gone])
    publish(lake, BOXES, map(annotation, rows))
    splits = publish_splits(lake, load_params(REPOSITORY / "params.yaml").split)
    count = len(rows) + 1
    kinds = [row["spatial_type"] for row in [*rows, gone]]
    metrics = {
        "candidates": {"records": 2 * count, "rejected": 1, "unmatched": count - 1,
                       "duplicates": 0, "candidates": count},
        "filter": {"rows": count, "failed": 0}
        | {kind: kinds.count(kind) for kind in ("strong", "weak", "none")},
        "download": {"rows": count, "ok": count - 1},
        "annotate": count_boxes(lake, BoxScores()),
        "split": {"rows": splits.rows}
        | {name: splits.counts["split"].get(name, 0) for name in ("train", "val", "test")},
    }  # fmt: skip
    for stage, values in metrics.items():
        write_metrics(stage, values, root / "metrics")
    return lake


def figure(value: float | None, half: float = 0.05, n: int = 200) -> dict[str, float | None]:
    """As metrics files have them; what was not measured has no number."""
    if value is None:
        return {"value": None, "lo": None, "hi": None, "n": 0}
    return {"value": value, "lo": round(value - half, 6), "hi": round(value + half, 6), "n": n}


def condition(share: float, kid: float | None = 0.02, n: int = 200) -> dict[str, Any]:
    """Figures of a condition, as stage evaluate writes them; the detector finds a little less."""
    names = ("visor", "geneval", "t2i_compbench", "nsr", "referee", "mig_hit", "mig_miou",
             "present", "absent")  # fmt: skip
    found: dict[str, Any] = {
        judge: {name: figure(round(share - less, 6), n=n) for name in names}
        for judge, less in (("annotator", 0.0), ("detector", 0.0625))
    }
    found["detector"]["absent"] = figure(None)
    return {**found, "kid": figure(kid, 0.004, 150), "fid": figure(None), "seconds": 0.4321}


def evaluation() -> dict[str, Any]:
    """What metrics/evaluate.json holds, of 200 captions and a sweep of the scale."""
    layouts = ("annotator", "detector")
    given = {"given_hit": figure(0.7, n=193), "given_miou": figure(0.6, n=193)}
    shuffled = condition(0.125, n=193)
    return {
        "rows": 1793, "failed": 2, "captions": 200, "seeds": 1,
        "truth": {judge: condition(0.96875)[judge] for judge in layouts},
        "chance": {judge: condition(0.1875)[judge] for judge in layouts},
        "on": condition(0.875), "off": condition(0.25, -0.001), "planned": condition(0.75),
        "shuffled": shuffled | {judge: shuffled[judge] | given for judge in layouts},
        "reconstruction": condition(0.9375, None),
        "sweeps": {
            "scale": {"0.5": condition(0.5), "1": condition(0.875), "1.5": condition(0.8125)},
            "beta": {"1": condition(0.875)},
        },
    }  # fmt: skip


def keep_evaluation(root: Path, sheet: Image.Image) -> None:
    """What stage evaluate leaves beside its table."""
    write_metrics("evaluate", evaluation(), root / "metrics")
    plots = root / "plots" / "evaluate"
    plots.mkdir(parents=True, exist_ok=True)
    write_sweeps(evaluation(), plots)
    sheet.save(plots / "sheet.jpg", quality=85)
