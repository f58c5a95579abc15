"""T2I-CompBench++'s folder, as UniDet_eval reads it: by the names of its pictures only."""

import os
import re
from pathlib import Path

import pytest

from spatialgen.errors import InputError
from spatialgen.suites.catalogue import suite_of
from spatialgen.suites.export import export
from tests.suites.painting import SETTINGS, Painter, real

SUITE = suite_of("t2i_compbench")


def read_names(folder: Path) -> list[tuple[str, int]]:
    """Prompt and question of each picture, in the evaluator's order and by its cuts."""
    names = os.listdir(folder / "samples")
    names.sort(key=lambda name: int(name.split("_")[1].split(".")[0]))
    return [(name.split("_")[0], int(name.split("_")[-1].split(".")[0])) for name in names]


def test_the_evaluator_reads_prompts_and_questions_from_the_names(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"The red hat was on top of the rack.\r\na cat near a dog\tcat\r\n"
                     b"a cat near a dog\r\n")  # fmt: skip
    prompts = SUITE.read(path)
    export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, samples=2, quiet=True)
    texts = ["The red hat was on top of the rack."] * 2 + ["a cat near a dog"] * 4
    assert read_names(tmp_path / "out") == list(zip(texts, range(6), strict=True))
    assert "a cat near a dog_000003.png" in os.listdir(tmp_path / "out" / "samples")


@pytest.mark.parametrize(
    ("name", "count"),
    [("spatial_val", 300), ("3d_spatial", 1000), ("complex_val_spatial", 58), ("spatial", 1000)],
)
def test_the_published_prompts_survive_the_names(tmp_path, name, count):
    path = real(f"t2i_compbench/{name}.txt")
    prompts = SUITE.read(path)
    assert [prompt.text for prompt in prompts] == path.read_text(encoding="utf-8").splitlines()
    assert len(prompts) == count
    (tmp_path / "samples").mkdir()
    for prompt in prompts:
        for sample in range(2):
            (tmp_path / SUITE.picture(prompt, sample, 2)).touch()
    texts = [prompt.text for prompt in prompts for _ in range(2)]
    assert read_names(tmp_path) == list(zip(texts, range(2 * count), strict=True))


@pytest.mark.parametrize("line", ["a cat_dog", "a cat/dog", "a\0cat", "", "猫" * 81])
def test_lines_that_name_no_file_are_named(tmp_path, line):
    path = tmp_path / "prompts.txt"
    path.write_text(f"a cat\n{line}\na dog\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"{path}: line 2")):
        SUITE.read(path)


def test_the_commands_name_the_folder(tmp_path):
    command = SUITE.command(tmp_path)
    assert f"2D_spatial_eval.py --outpath {tmp_path}" in command
    assert f"3D_spatial_eval.py --outpath {tmp_path}" in command
