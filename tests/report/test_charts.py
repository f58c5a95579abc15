"""Geometry of bins, ticks and curves, and of boxes on pictures."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from spatialgen.report.charts import Column, Tick, histogram, round_numbers
from spatialgen.report.curves import figure_of, panels_of, read_panels, read_sweeps
from spatialgen.report.pictures import SIDE, Tiles
from tests.report.lakes import drawn_rows, make_lake


def test_a_histogram_keeps_gaps_and_stacks_parts() -> None:
    rows = [{"x": 10, "a": 1, "b": 3}, {"x": 30, "a": 0, "b": 2}]
    chart = histogram(rows, "x", ("a", "b"), step=10, lo=0)
    assert chart.top == 4
    assert chart.columns == [
        Column(25, 25, (25, 75), "10: 1 a, 3 b"),
        Column(75, 25, (0, 50), "30: 0 a, 2 b"),
    ]
    assert chart.ticks == [Tick(at, f"{at * 0.4:g}") for at in (0, 25, 50, 75, 100)]


def test_named_ticks_stretch_the_axis() -> None:
    chart = histogram([{"x": 0, "n": 1}], "x", ("n",), step=1, lo=-1, ticks={-1: "l", 3: "r"})
    assert chart.columns == [Column(25, 25, (100,), "0: 1 n")]
    assert chart.ticks == [Tick(0, "l"), Tick(100, "r")]


@pytest.mark.parametrize(
    ("begin", "end", "numbers"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 36, [0, 10, 20, 30]),
        (-0.1, 0.1, [-0.1, -0.05, 0, 0.05, 0.1]),
        (1000, 31000, [5000, 10000, 15000, 20000, 25000, 30000]),
    ],
)
def test_ticks_are_round_numbers(begin: float, end: float, numbers: list[float]) -> None:
    assert round_numbers(begin, end) == numbers


def keep_curve(plots: Path, training: str, name: str, lines: str) -> None:
    """A figure of a training as dvclive keeps it."""
    path = plots / training / "plots" / "metrics" / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "figure"),
    [("train/loss", "loss"), ("val/loss", "loss"), ("loss", "loss"), ("val/box/iou", "box/iou")],
)
def test_a_curve_is_known_by_what_it_shows(name: str, figure: str) -> None:
    assert figure_of(name) == figure


def test_what_is_measured_to_be_compared_has_one_panel() -> None:
    names = ["val/error", "val/error_without", "val/error_shuffled", "train/error", "val/errors",
             "val/mean_iou"]  # fmt: skip
    assert [*panels_of(names).values()] == [*["error"] * 4, "errors", "mean_iou"]


def test_sweeps_are_drawn_by_value_and_one_value_is_no_curve(tmp_path: Path) -> None:
    lines = "scale,geneval,mig_miou,kid\n0.5,0.2,,0.1\n10,0.6,0.4,\n2,0.4,,0.1\n"
    (tmp_path / "scale.csv").write_text(lines, encoding="utf-8")
    (tmp_path / "beta.csv").write_text("beta,geneval,mig_miou,kid\n1,0.5,0.5,0\n")
    (panel,) = read_sweeps(tmp_path)
    assert (panel.figure, panel.x, [each.name for each in panel.curves]) == (
        "scale", "scale", ["geneval"],
    )  # fmt: skip
    assert panel.curves[0].points == "0.0,100.00 15.79,50.00 100.0,0.00"
    assert panel.curves[0].last == 0.6


def test_long_curves_keep_their_ends_and_few_points(tmp_path: Path) -> None:
    lines = "".join(f"{step}\t{step / 1000}\n" for step in range(10_001))
    keep_curve(tmp_path, "train_a", "loss", "step\tloss\n" + lines)
    keep_curve(tmp_path, "train_b", "loss", "step\tloss\n1\t0.5\n")
    keep_curve(tmp_path, "train_c", "loss", "epoch\tloss\n1\t0.5\n")
    keep_curve(tmp_path, "annotate", "loss", "step\tloss\n1\t0.5\n")
    long, short = read_panels(tmp_path)
    points = long.curves[0].points.split(" ")
    assert len(points) < 500
    assert (points[0], points[-1]) == ("0.0,100.00", "100.0,0.00")
    assert long.curves[0].last == 10
    assert short.curves[0].points == "50.0,50.00", "one point lies in the middle"


def test_tiles_hold_small_pictures_and_boxes_where_they_are(tmp_path: Path) -> None:
    (row,) = drawn_rows(1)
    large = io.BytesIO()
    Image.effect_noise((1600, 800), 50).convert("RGB").save(large, "JPEG")
    row |= {"picture": large.getvalue(), "size": (1600, 800)}
    row["objects"] = [
        {"name": "猫", "bbox": [0.5, 0.5, 1.0, 1.0]},
        {"name": "很长的名字", "bbox": [0.9, 0.0, 1.0, 0.1]},
        {"name": "猫", "bbox": [0.0, 0.0, 0.1, 0.1]},
    ]
    (tile,) = Tiles(make_lake(tmp_path, [row]))([row["row_id"], 12345])
    assert tile.picture
    with Image.open(io.BytesIO(base64.b64decode(tile.picture.split(",")[1]))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (320, 160))
    assert (tile.width, tile.height) == (SIDE, SIDE / 2)
    first, second, third = tile.boxes
    assert (first.x, first.y, first.width, first.height) == (160, 80, 160, 80)
    assert first.colour == third.colour != second.colour, "a colour for each name"
    assert first.text_y < first.y
    assert second.text_y > second.y, "a name that would be cut off stands inside"
    assert second.text_x + 5 * 22 <= SIDE
