"""A small lake made by hand, whose answers can be counted; shared by all, so only read it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import (
    BOXES,
    CANDIDATES,
    CAPTIONS,
    DOWNLOADS,
    GENERATIONS,
    IMAGES,
    REJECTS,
    RUNS_SCHEMA,
    SPLITS,
    TableSpec,
)
from spatialgen.lake.sql import run_query
from spatialgen.metrics import write_metrics
from tests.conftest import REPOSITORY
from tests.tables import publish

Ask = Callable[..., list[tuple[object, ...]]]

JUDGED = [  # row_id, caption, spatial_type, p_strong, p_weak
    (1, "猫在狗的左边", "strong", 0.9, 0.05),
    (2, "猫在狗的左边", "strong", 0.9, 0.05),
    (3, "狗在猫的左边", "strong", 0.8, 0.1),
    (4, "草地上有一只猫", "weak", 0.1, 0.6),
    (5, "花瓶在桌子上", "strong", 0.7, 0.2),
    (6, "树后的房子", "strong", 0.6, 0.3),
    (7, "海里的船", "weak", 0.1, 0.8),
    (8, "手机上市", "none", 0.1, 0.1),
    (9, "中国制造", "none", 0.0, 0.0),
    (10, "左右都有", None, None, None),
]
PICTURES = [  # sha256, width, height, format, n_bytes, phash
    ("a", 640, 480, "jpeg", 10_000_000, -(2**63)),  # the sign is a bit like the others
    ("b", 640, 480, "jpeg", 20_000_000, -(2**63) + 3),
    ("c", 300, 600, "jpeg", 30_000_000, 0x0123_4567_89AB_CDEF),
    ("d", 100, 100, "png", 80_000_000, None),
]
FETCHED = [  # row_id, sha256, status, reason, http_status, host
    (1, "a", "ok", None, 200, "a.cn"),
    (2, "b", "ok", None, 200, "a.cn"),
    (3, "c", "ok", None, 200, "a.cn"),
    (4, "a", "ok", None, 200, "b.cn"),
    (5, "d", "ok", None, 200, "b.cn"),
    (6, None, "permanent", "gone", 404, "b.cn"),
    (7, None, "transient", "timeout", None, "c.cn"),
]
SPLIT = [(1, 1, "train"), (2, 1, "train"), (3, 3, "val"), (4, 1, "train"), (5, 5, "test")]
REJECTED = [
    ("0.csv", 7, "empty_url", ",左"),
    ("0.csv", 9, "extra_column", "u,左,x"),
    ("1.csv", 2, "empty_url", ",右"),
]
COUNTS = {"records": 40, "rejected": 3, "unmatched": 25, "duplicates": 2, "candidates": 10}
START = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = [  # stage, seconds, total, reused, computed, failed, device_s, waited_s
    ("candidates", 2.0, 40, 0, 40, 3, None, None),
    ("filter", 9.0, 10, 0, 9, 1, 6.0, 0.0),
    ("filter", 1.0, 3610, 3610, 0, 0, 0.0, 0.0),
    ("download", 14.0, 7, 0, 7, 2, 7.0, 0.0),
    ("annotate", 20.0, 5, 0, 5, 1, 16.0, 4.0),
]
# Counts of a judge that found all that it was asked for in a picture of two things, one of them
# left of the other; of one that found a thing alone; and of one that has no class for either.
RIGHT: dict[str, object] = dict.fromkeys(
    ("visor", "geneval", "t2i_compbench", "nsr", "referee", "sides", "relations"), 1
) | {"mig_hits": 2, "mig_iou": 1.6, "present": 2, "instances": 2, "absent_found": False}
LACKING = RIGHT | dict.fromkeys(("visor", "geneval", "t2i_compbench", "nsr", "referee"), 0)
LACKING |= {"mig_hits": 0, "mig_iou": 0.4, "present": 1}
UNKNOWN = dict.fromkeys(RIGHT, 0) | {"absent_found": None}
PAINTED = [  # row_id, condition, seed, by_annotator, by_detector, seconds
    (1, "on", 0, RIGHT, RIGHT, 0.5),
    (1, "on", 1, RIGHT, LACKING, 0.5),
    (3, "on", 0, RIGHT | {"relations": 2, "referee": 2}, RIGHT, 2.0),
    (4, "on", 0, LACKING | {"sides": 0}, UNKNOWN, 1.0),
    (1, "off", 0, LACKING, LACKING, 0.25),
    (1, "on@scale=2", 0, RIGHT, RIGHT, 0.5),
    (4, "reconstruction", 0, RIGHT | {"sides": 0, "geneval": 0}, UNKNOWN, 0.0),
]


def thing(name: str, *bbox: float, self_iou: float | None = None) -> dict[str, object]:
    return {"name": name, "bbox": list(bbox), "self_iou": self_iou}


def stated(relation: str, subject: str, *objects: str, agrees: bool | None) -> dict[str, object]:
    return {"relation": relation, "subject": subject, "objects": list(objects), "agrees": agrees}


def annotated() -> list[dict[str, object]]:
    """Rows of boxes: two that hold, one that fails, one untested, one without an answer."""
    cat, dog = thing("猫", 0.0, 0.25, 0.25, 0.5), thing("狗", 0.5, 0.25, 1.0, 0.5)
    on_the_cat = thing("狗", 0.0, 0.25, 0.25, 0.75)
    grass = thing("草地", 0.0, 0.0, 1.0, 1.0)
    common: dict[str, object] = {
        "absent": [],
        "problems": [],
        "raw": [],
        "self_iou": None,
        "error": None,
    }
    rows: list[dict[str, object]] = [
        {"row_id": 1, "sha256": "a", "objects": [cat, dog], "self_iou": 0.9, "spatial_agree": True,
         "relations": [stated("left", "猫", "狗", agrees=True)]},
        {"row_id": 2, "sha256": "b", "objects": [cat, on_the_cat, dog], "self_iou": 0.6,
         "relations": [stated("left", "猫", "狗", agrees=False)], "spatial_agree": False,
         "problems": ["duplicate", "duplicate"]},
        {"row_id": 3, "sha256": "c", "objects": [dog, cat, grass], "spatial_agree": True,
         "relations": [stated("left", "狗", "猫", agrees=True),
                       stated("top_part", "狗", agrees=True)]},
        {"row_id": 4, "sha256": "a", "objects": [], "absent": ["草地", "猫"], "spatial_agree": None,
         "relations": [stated("on", "猫", "草地", agrees=None)]},
        {"row_id": 5, "sha256": "d", "objects": [], "relations": [], "spatial_agree": None,
         "error": "unreadable: no box in it"},
    ]  # fmt: skip
    return [common | row for row in rows]


def records(spec: TableSpec, rows: list[tuple[object, ...]]) -> list[dict[str, object]]:
    return [dict(zip(spec.schema.names, row, strict=True)) for row in rows]


def painted() -> list[dict[str, object]]:
    """Rows of generations; what was found in the pictures is left out but for its counts."""
    names = ("row_id", "condition", "seed", "by_annotator", "by_detector", "seconds")
    common: dict[str, object] = {
        "caption": "猫在狗的左边", "painter": "{}",
        "layout": [], "wanted": [], "image": b"bytes", "height": 64,
        "width": 64, "absent": "", "annotator": [], "detector": [],
    }  # fmt: skip
    return [
        common | dict(zip(names, row, strict=True)) | {"generation_id": number}
        for number, row in enumerate(PAINTED)
    ]


def record_runs(lake: Lake) -> None:
    names = [name for name in RUNS_SCHEMA.names if name not in ("fp", "started", "rows_per_s")]
    rows = [
        dict(zip(["stage", "seconds", *names[2:]], run, strict=True))
        | {"fp": "fp", "started": START + timedelta(hours=hour), "rows_per_s": run[4] / run[1]}
        for hour, run in enumerate(RUNS)
    ]
    lake.stored("runs", RUNS_SCHEMA).append(pa.Table.from_pylist(rows, schema=RUNS_SCHEMA))


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with every table, five runs, and metrics."""
    root: Path = tmp_path_factory.mktemp("queries")
    lake = Lake(root / "lake", store=root / ".lake")
    judged: list[dict[str, object]] = [
        {
            "row_id": row_id,
            "url": f"http://x.cn/{row_id}",
            "caption": caption,
            "spatial_type": spatial_type,
            "p_strong": strong,
            "p_weak": weak,
            "p_none": None if strong is None or weak is None else 1 - strong - weak,
            "tier": "tiny",
            "error": None if spatial_type else "too_long: 600 tokens",
        }
        for row_id, caption, spatial_type, strong, weak in JUDGED
    ]
    publish(lake, CANDIDATES, judged)
    publish(lake, CAPTIONS, judged)
    publish(lake, REJECTS, records(REJECTS, list(REJECTED)))
    publish(lake, DOWNLOADS, records(DOWNLOADS, list(FETCHED)))
    publish(lake, BOXES, annotated())
    publish(lake, SPLITS, records(SPLITS, list(SPLIT)))
    names = ("sha256", "width", "height", "format", "n_bytes", "phash")
    pictures = [dict(zip(names, row, strict=True)) | {"image": b"bytes"} for row in PICTURES]
    publish(lake, IMAGES, pictures)
    publish(lake, GENERATIONS, painted())
    record_runs(lake)
    write_metrics("candidates", COUNTS, root / "metrics")
    write_metrics("filter", {"strong": 5, "weak": 2}, root / "metrics")
    write_metrics("download", {"rows": 7, "ok": 5}, root / "metrics")
    write_metrics("annotate", {"rows": 5, "boxed": 3}, root / "metrics")
    write_metrics("split", {"train": 3}, root / "metrics")
    return lake


@pytest.fixture
def ask(counted: Lake) -> Ask:
    """Asks the lake a shipped query by its name; the rows of the answer as tuples."""

    def answer(name: str, **params: object) -> list[tuple[object, ...]]:
        text = (REPOSITORY / "queries" / f"{name}.sql").read_text(encoding="utf-8")
        (table,) = run_query(counted, text, params)
        return [tuple(row.values()) for row in table.to_pylist()]

    return answer
