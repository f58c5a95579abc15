"""GenEval's folder, as evaluation/evaluate_images.py walks it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.suites.catalogue import suite_of
from spatialgen.suites.export import export, export_prompts
from tests.suites.painting import SETTINGS, Painter, real

SUITE = suite_of("geneval")
BENCH = {"tag": "single_object", "include": [{"class": "bench", "count": 1}],
         "prompt": "a photo of a bench"}  # fmt: skip
LEFT = {
    "tag": "position",
    "include": [
        {"class": "dog", "count": 1},
        {"class": "tie", "count": 1, "position": ["left of", 0]},
    ],
    "exclude": [{"class": "cat", "count": 1}],
    "prompt": "a photo of a tie left of a dog",
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def walk(folder: Path) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Metadata and pictures by folder, found as the evaluator finds them."""
    found = {}
    for name in os.listdir(folder):
        if not (folder / name).is_dir() or not name.isdigit():
            continue
        with (folder / name / "metadata.jsonl").open() as file:
            metadata = json.load(file)
        pictures = os.listdir(folder / name / "samples")
        taken = [each for each in pictures if re.match(r"\d+\.png", each)]
        assert len(taken) == len(pictures)
        for each in taken:
            with Image.open(folder / name / "samples" / each) as picture:
                picture.load()
        found[name] = metadata, sorted(taken)
    return found


def test_the_evaluator_finds_its_records_unchanged_and_four_pictures_of_each(tmp_path):
    prompts = SUITE.read(write(tmp_path / "prompts.jsonl", BENCH, LEFT))
    done = export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, quiet=True)
    assert (done.pictures, done.painted) == (8, 8)
    four = ["0000.png", "0001.png", "0002.png", "0003.png"]
    assert walk(tmp_path / "out") == {"00000": (BENCH, four), "00001": (LEFT, four)}


def test_the_published_prompts_come_back_line_by_line(tmp_path):
    path = real("geneval/evaluation_metadata.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines()
    prompts = SUITE.read(path)
    assert len(prompts) == len(lines) == 553
    assert sum(prompt.row["tag"] == "position" for prompt in prompts) == 100
    export_prompts(SUITE, prompts, tmp_path / "out", settings=SETTINGS)
    found = walk(tmp_path / "out")
    assert len(found) == 553
    for number, line in enumerate(lines):
        assert (tmp_path / "out" / f"{number:05}" / "metadata.jsonl").read_text() == line
        assert found[f"{number:05}"][1] == []


def test_the_command_names_the_folder_safely(tmp_path):
    command = SUITE.command(tmp_path / "my pictures")
    assert f"evaluate_images.py '{tmp_path}/my pictures' --outfile" in command


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([1], "line 2"),
        ({**BENCH, "prompt": " "}, "prompt is ' '"),
        ({"tag": "colors", "include": []}, "no 'prompt'"),
        ({"prompt": "a cat", "include": []}, "no 'tag'"),
        ({**BENCH, "include": [{"class": "bench"}]}, "no 'count'"),
        ({**BENCH, "include": [{"class": "bench", "count": "1"}]}, "count is '1'"),
        ({**BENCH, "include": LEFT["include"][1:]}, "of no earlier thing"),
        ({**BENCH, "prompt": "half \ud800"}, "surrogates"),
    ],
)
def test_damaged_lines_are_named(tmp_path, row, problem):
    path = write(tmp_path / "prompts.jsonl", BENCH, row)
    with pytest.raises(InputError, match=re.escape(problem)) as error:
        SUITE.read(path)
    assert f"{path}: line 2" in str(error.value)
    assert "take it anew from" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe", b"{", None])
def test_files_without_prompts_are_named(tmp_path, content):
    path = tmp_path / "prompts.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        SUITE.read(path)
