"""Prompts painted in Chinese while the evaluator reads English."""

import json
import os
import re

import pytest

from spatialgen.errors import InputError
from spatialgen.layouts import Placed
from spatialgen.suites.catalogue import suite_of
from spatialgen.suites.export import export
from spatialgen.suites.suite import Prompt
from spatialgen.suites.translations import read_translations, translate
from tests.suites.painting import SETTINGS, Painter

SUITE = suite_of("t2i_compbench")
CHINESE = {"a cat near a dog": "猫在狗旁边", "a bus near a car": "公共汽车在小轿车旁边"}
BOX = (0.0, 0.0, 0.5, 1.0)


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "prompts.txt").write_text("\n".join(CHINESE))
    return SUITE.read(tmp_path / "prompts.txt")


@pytest.fixture(params=["tsv", "jsonl"])
def file(tmp_path, request):
    path = tmp_path / f"zh.{request.param}"
    lines = [
        f"{text}\t{chinese}"
        if request.param == "tsv"
        else json.dumps({"text": text, "translation": chinese}, ensure_ascii=False)
        for text, chinese in CHINESE.items()
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, lines[0]]).encode())
    return path


def test_chinese_is_painted_and_english_is_read(prompts, file, tmp_path):
    painter = Painter()
    export(SUITE, translate(prompts, file), tmp_path / "zh", painter, settings=SETTINGS,
           samples=1, quiet=True)  # fmt: skip
    assert painter.batches == [[*CHINESE.values()]]
    names = sorted(os.listdir(tmp_path / "zh" / "samples"))
    assert [name.split("_")[0] for name in names] == sorted(CHINESE)
    assert json.loads((tmp_path / "zh" / "spatialgen.json").read_text())["translated"] is True


def test_the_seeds_are_those_of_the_english_pictures(prompts, file):
    seeds = [prompt.seeds(7, 4) for prompt in prompts]
    assert [prompt.seeds(7, 4) for prompt in translate(prompts, file)] == seeds


def test_both_languages_do_not_mix_in_one_folder(prompts, file, tmp_path):
    export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, quiet=True)
    with pytest.raises(InputError, match="name another folder"):
        export(SUITE, translate(prompts, file), tmp_path / "out", Painter(), settings=SETTINGS)


def test_names_of_boxes_are_translated_too(tmp_path):
    path = tmp_path / "zh.tsv"
    path.write_text("a photo of a red cup\t红杯子的照片\nred cup\t红杯子\n", encoding="utf-8")
    text = "a photo of a red cup"
    prompt = Prompt(3, text, text, (Placed("red cup", BOX),), {"caption": text})
    (found,) = translate([prompt], path)
    assert (found.text, found.original, found.row) == ("红杯子的照片", text, prompt.row)
    assert found.layout == (Placed("红杯子", BOX),)
    path.write_text("a photo of a red cup\t红杯子的照片\n", encoding="utf-8")
    with pytest.raises(InputError, match="no translation of 'red cup', in prompt 3, nor of 0"):
        translate([prompt], path)


def test_a_missing_translation_names_its_prompt(prompts, tmp_path):
    path = tmp_path / "zh.tsv"
    path.write_text("a cat near a dog\t猫在狗旁边\n", encoding="utf-8")
    with pytest.raises(InputError, match="no translation of 'a bus near a car', in prompt 1"):
        translate(prompts, path)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("zh.tsv", "no tab"),
        ("zh.tsv", "a\tb\tc"),
        ("zh.tsv", "a cat\t "),
        ("zh.tsv", "a cat\t狗"),
        ("zh.jsonl", '{"text": "a cat"}'),
        ("zh.jsonl", '["a cat", "猫"]'),
        ("zh.jsonl", "{"),
    ],
)
def test_damaged_lines_are_named(tmp_path, name, line):
    first = "a cat\t猫" if name == "zh.tsv" else '{"text": "a cat", "translation": "猫"}'
    (tmp_path / name).write_text(f"{first}\n{line}\na dog\t狗\n", encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"{name}: line 2")):
        read_translations(tmp_path / name)
