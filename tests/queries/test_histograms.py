"""The histograms that the report draws, on rows whose answer is known."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import BOXES, CAPTIONS
from tests.conftest import REPOSITORY
from tests.report.lakes import Row, keep_pictures
from tests.tables import publish


def ask(lake: Lake, name: str, *columns: str, **params: Any) -> list[tuple[Any, ...]]:
    """These columns of a shipped query's rows."""
    text = (REPOSITORY / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    rows = lake.sql(text, **params).to_pylist()
    return [tuple(row[column] for column in columns) for row in rows]


def test_caption_lengths(lake: Lake) -> None:
    captions = [
        ("左边是猫", "strong"),
        ("左边是猫狗", "weak"),
        ("猫" * 9, "none"),
        ("猫" * 8, None),
    ]
    publish(
        lake,
        CAPTIONS,
        [
            {"row_id": n, "url": "u", "caption": text, "spatial_type": kind}
            for n, (text, kind) in enumerate(captions)
        ],
    )
    columns = ("length", "captions", "strong", "weak", "none", "share")
    assert ask(lake, "caption_lengths", *columns) == [
        (4, 2, 1, 1, 0, 0.5),
        (8, 2, 0, 0, 1, 0.5),
    ]
    longest = ask(lake, "caption_lengths", "length", "captions", bin=5, longest=7)
    assert longest == [(0, 1), (5, 3)], "the last bin holds all that are longer"


@pytest.fixture
def pictured(lake: Lake) -> Lake:
    """A lake with pictures of several shapes."""
    sizes = [(100, 100), (127, 300), (128, 64), (64, 5000), (4000, 3000)]
    rows: list[Row] = [{"picture": b"%d" % n, "size": size} for n, size in enumerate(sizes)]
    for row in rows:
        row["sha256"] = hashlib.sha256(row["picture"]).hexdigest()
    keep_pictures(lake, rows)
    return lake


def test_aspect_ratios_are_binned_alike_on_both_sides_of_a_square(pictured: Lake) -> None:
    found = ask(pictured, "aspect_ratios", "aspect", "pictures", "share")
    assert found == [(0.25, 1, 0.2), (0.42, 1, 0.2), (1, 1, 0.2), (1.41, 1, 0.2), (2, 1, 0.2)]


def test_picture_sides_are_the_shorter_ones(pictured: Lake) -> None:
    columns = ("side", "pictures", "at_least")
    assert ask(pictured, "picture_sides", *columns) == [(64, 4, 1), (2048, 1, 0.2)]
    assert ask(pictured, "picture_sides", *columns, bin=100, largest=150) == [
        (0, 2, 1),
        (100, 3, 0.6),
    ]


def test_box_centres_fall_in_cells_and_every_cell_is_there(lake: Lake, tmp_path: Path) -> None:
    boxes = [[0.0, 0.0, 0.4, 0.4], [0.8, 0.1, 1.0, 0.3], [1.0, 1.0, 1.0, 1.0]]
    row = {"row_id": 1, "sha256": "a", "absent": [], "relations": [], "problems": [], "raw": []}
    publish(lake, BOXES, [row | {"objects": [{"name": "猫", "bbox": box} for box in boxes]}])
    assert ask(lake, "box_centres", "x", "y", "boxes", cells=2) == [
        (0, 0, 1),
        (0.5, 0, 1),
        (0, 0.5, 0),
        (0.5, 0.5, 1),
    ]
    empty = Lake(tmp_path / "empty" / "lake", store=tmp_path / "empty" / ".lake")
    publish(empty, BOXES, [row | {"objects": []}])
    assert ask(empty, "box_centres", "boxes", "share", cells=1) == [(0, None)]
