"""COCO-MIG's folder, as eval_mig.py reads it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.layouts import Placed
from spatialgen.suites.catalogue import suite_of
from spatialgen.suites.coco_mig import COLOURS
from spatialgen.suites.export import export
from tests.suites.painting import SETTINGS, Painter

SUITE = suite_of("coco_mig")
THINGS = ("teddy bear", "cat", "dining table", "cup", "orange", "bus")


def record(things: int, first: int = 0) -> dict[str, Any]:
    """A record of so many things in the suite's own words."""
    labels = [f"a {COLOURS[(first + n) % 7]} {THINGS[n]}" for n in range(things)]
    return {
        "caption": "a photo of " + "and ".join(f"{label} " for label in labels),
        "segment": [
            {"bbox": [n / 6, 0.25, (n + 1) / 6, 1.0], "label": label}
            for n, label in enumerate(labels)
        ],
        "image_id": str(391895 + first),
    }


BENCH = {str(key): record(2 + key % 5, key) for key in (12, 3, 0, 1, 4)}


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_boxes_become_layouts_named_without_the_article(tmp_path):
    prompts = SUITE.read(write(tmp_path / "bench.json", BENCH))
    assert [prompt.number for prompt in prompts] == [0, 1, 3, 4, 12]
    assert prompts[0].text == "a photo of a red teddy bear and a blue cat"
    assert prompts[0].layout == (
        Placed("red teddy bear", (0.0, 0.25, 1 / 6, 1.0)),
        Placed("blue cat", (1 / 6, 0.25, 2 / 6, 1.0)),
    )


def test_the_evaluator_finds_a_record_and_512_pixels_for_every_picture(tmp_path):
    prompts = SUITE.read(write(tmp_path / "bench.json", BENCH))
    out, painter = tmp_path / "out", Painter((96, 96))
    export(SUITE, prompts, out, painter, settings=SETTINGS, samples=2, quiet=True)
    context = json.loads((out / "mig_bench.json").read_text())
    seen, level_count = set(), [0] * 5
    for name in os.listdir(out / "images"):
        key = name.split("_")[-1].split(".")[0]
        info = context[key]
        assert info == BENCH[key]
        seen.add(key)
        level_count[len(info["segment"]) - 2] += 1
        with Image.open(out / "images" / name) as picture:
            assert np.asarray(picture).shape == (512, 512, 3)
        for instance in info["segment"]:
            assert instance["label"].split(" ")[1] in COLOURS
            assert " ".join(instance["label"].split(" ")[2:]) in THINGS
            assert (np.array(instance["bbox"]) * 512 <= 512).all()
    assert seen == {*BENCH}
    assert level_count == [2] * 5, "it divides by each"
    assert painter.prompts[0].layout, "the painter is given the boxes"


def test_the_yaml_of_migc_gives_the_same_prompts(tmp_path):
    listed: dict[str, Any] = {}
    for key, row in BENCH.items():
        own: dict[str, Any] = {each["label"]: [each["bbox"]] for each in row["segment"]}
        listed[row["caption"].strip()] = {**own, "coco_id": key}
    twice = {"a black bus": [[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]], "coco_id": "7"}
    listed["a photo of a black bus and a black bus"] = twice
    path = tmp_path / "mig_bench_anno.yaml"
    path.write_text(yaml.safe_dump(listed), encoding="utf-8")
    prompts = {prompt.number: prompt for prompt in SUITE.read(path)}
    assert [each.name for each in prompts.pop(7).layout] == ["black bus", "black bus"]
    for prompt in SUITE.read(write(tmp_path / "bench.json", BENCH)):
        found = prompts.pop(prompt.number)
        assert (found.text, {*found.layout}) == (prompt.text, {*prompt.layout})
        segment = sorted(found.row["segment"], key=lambda each: each["bbox"])
        assert segment == prompt.row["segment"]
    assert not prompts


def test_a_missing_number_of_things_is_refused_before_anything_is_painted(tmp_path):
    prompts = SUITE.read(write(tmp_path / "bench.json", BENCH))
    few = [prompt for prompt in prompts if len(prompt.layout) != 4]
    with pytest.raises(InputError, match="none of 4 prompts has 4 things"):
        export(SUITE, few, tmp_path / "out", Painter(), settings=SETTINGS)
    assert not (tmp_path / "out").exists()


def test_pictures_that_are_not_square_are_refused(tmp_path):
    prompts = SUITE.read(write(tmp_path / "bench.json", BENCH))
    with pytest.raises(InputError, match="16 x 8 pixels is not square"):
        export(SUITE, prompts, tmp_path / "out", Painter((16, 8)), settings=SETTINGS, quiet=True)


@pytest.mark.parametrize(
    ("key", "changed", "problem"),
    [
        ("x1", {}, "'x1' and no number"),
        ("007", {}, "'007' and no number"),
        ("9", {"caption": 3}, "caption is 3"),
        ("9", {"segment": record(6)["segment"] * 2}, "12 things"),
        ("9", {"segment": [{"bbox": [0, 0, 1, 1], "label": "red cat"}] * 2}, "'red cat' is not"),
        ("9", {"segment": [{"bbox": [0, 0, 1, 1], "label": "a pink cat"}] * 2}, "pink"),
        ("9", {"segment": [{"bbox": [0, 0, 0, 1], "label": "a red cat"}] * 2}, "[0, 0, 0, 1]"),
        ("9", {"segment": [{"bbox": [0, 0, 60, 9], "label": "a red cat"}] * 2}, "[0, 0, 60, 9]"),
        ("9", {"segment": [{"label": "a red cat"}] * 2}, "no 'bbox'"),
    ],
)
def test_damaged_records_are_named(tmp_path, key, changed, problem):
    path = write(tmp_path / "bench.json", {**BENCH, key: record(2) | changed})
    with pytest.raises(InputError, match=re.escape(problem)) as error:
        SUITE.read(path)
    assert f"{path}: record {key}" in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "[]"),
        ("a.json", "{"),
        ("a.yaml", "a: [b"),
        ("a.yaml", "- a"),
        ("a.yaml", "a: {}"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=re.escape(name)):
        SUITE.read(tmp_path / name)
