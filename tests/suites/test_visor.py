"""VISOR's folder, as its notebook and visor.py read it."""

import json
import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.suites.catalogue import suite_of
from spatialgen.suites.export import export
from tests.suites.painting import SETTINGS, Painter

SUITE = suite_of("visor")
FILE = "text_spatial_rel_phrases.json"


def phrases(*things: str) -> list[dict[str, Any]]:
    """Records in the order of the suite's own script: pairs both ways by relation, then without
    one, then single things."""
    rows: list[dict[str, Any]] = []
    for pair in combinations(things, 2):
        for relation in ("to the left of", "to the right of", "above", "below", "and"):
            for a, b in (pair, pair[::-1]):
                rows.append({"num_objects": 2, "obj_1_attributes": [a], "obj_2_attributes": [b],
                             "rel_type": relation, "text": f"a {a} {relation} a {b}"})  # fmt: skip
    for a in things:
        rows.append({"num_objects": 1, "obj_1_attributes": [a], "obj_2_attributes": [None],
                     "rel_type": "single", "text": f"a {a}"})  # fmt: skip
    return [{"unique_id": place, **row} for place, row in enumerate(rows)]


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_every_picture_leads_to_its_record_by_place(tmp_path):
    rows = phrases("cat", "dog", "car")
    prompts = SUITE.read(write(tmp_path / FILE, rows))
    assert len(prompts) == 3 * 8
    export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, quiet=True)
    text_data = json.loads((tmp_path / "out" / FILE).read_text())
    names = os.listdir(tmp_path / "out" / "images" / "spatialgen")
    scored: dict[int, int] = {}
    for name in names:
        key = name.removesuffix(".png")  # of the detector's results
        unique = int(key.split("_")[0])
        assert text_data[unique] == rows[unique]
        assert text_data[unique]["rel_type"] != "and"
        assert text_data[unique]["num_objects"] == 2
        scored[unique] = scored.get(unique, 0) + 1
        with Image.open(tmp_path / "out" / "images" / "spatialgen" / name) as picture:
            assert picture.size == (8, 8)
    positions = [row["unique_id"] for row in rows if row["rel_type"] not in ("and", "single")]
    assert scored == dict.fromkeys(positions, 4)
    assert set(names) == {f"{unique}_{i}.png" for unique in positions for i in range(4)}


def test_some_prompts_keep_their_numbers(tmp_path):
    rows = phrases("cat", "dog", "car")
    prompts = SUITE.read(write(tmp_path / FILE, rows))[10:12]
    export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, samples=1, quiet=True)
    text_data = json.loads((tmp_path / "out" / FILE).read_text())
    for prompt in prompts:
        assert text_data[prompt.number]["text"] == prompt.text
    assert sum(row is not None for row in text_data) == 2


def test_the_command_names_results_and_phrases(tmp_path):
    command = SUITE.command(tmp_path / "out")
    assert f"--text_json {tmp_path}/out/{FILE} --mo spatialgen" in command
    # visor.py makes the name of the results from the model, the file, the detector and its score.
    assert f"od/results_spatialgen_{FILE[:-5]}_owlvit_0.1.json" in command


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"unique_id": 5}, "its unique_id is 5"),
        ({"text": None}, "text is None"),
        ({"obj_2_attributes": []}, "damaged"),
        ({"obj_1_attributes": [None]}, "obj_1_attributes is None"),
    ],
)
def test_damaged_records_are_named(tmp_path, changed, problem):
    rows = phrases("cat", "dog")
    rows[1] |= changed
    with pytest.raises(InputError, match=re.escape(problem)) as error:
        SUITE.read(write(tmp_path / FILE, rows))
    assert "record 1" in str(error.value)


@pytest.mark.parametrize("value", [{}, [], phrases("cat")])
def test_a_file_without_positions_is_refused(tmp_path, value):
    with pytest.raises(InputError, match=re.escape(FILE)):
        SUITE.read(write(tmp_path / FILE, value))
