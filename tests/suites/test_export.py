"""The folder of a suite: painted once, resumed after a kill, refused where it is another."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from spatialgen.errors import InputError, LakeError
from spatialgen.suites.catalogue import SUITES, suite_of
from spatialgen.suites.export import Exported, export, export_prompts
from spatialgen.suites.suite import Prompt
from tests.conftest import REPOSITORY
from tests.suites.painting import SETTINGS, Painter, files_of, pictures_of

SUITE = suite_of("t2i_compbench")
LINES = ["a cat on the left of a dog", "a bus near a car", "a cup on the top of a box",
         "a fish behind a stone", "a hat next to a bag"]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


@pytest.fixture
def prompts(file: Path) -> list[Prompt]:
    return SUITE.read(file)


def paint(prompts: list[Prompt], folder: Path, painter: Painter, **settings: object) -> Exported:
    return export(SUITE, prompts, folder, painter, settings={**SETTINGS, **settings},
                  samples=2, batch=4, quiet=True)  # fmt: skip


def test_each_picture_has_its_own_seed_whatever_is_beside_it(prompts, tmp_path):
    painter = Painter()
    done = paint(prompts, tmp_path / "out", painter)
    assert (done.pictures, done.painted) == (10, 10)
    assert [len(batch) for batch in painter.batches] == [4, 4, 2]
    whole = pictures_of(tmp_path / "out")
    assert len({*whole.values()}) == 10
    paint(prompts[2:4], tmp_path / "some", Painter())
    some = pictures_of(tmp_path / "some")
    assert some.items() <= whole.items()
    paint(prompts, tmp_path / "other", Painter(), seed=8)
    assert not {*whole.values()} & {*pictures_of(tmp_path / "other").values()}


def test_prompts_and_settings_are_told_beside_the_pictures(prompts, tmp_path):
    paint(prompts, tmp_path / "out", Painter())
    told = json.loads((tmp_path / "out" / "spatialgen.json").read_text())
    assert told.items() >= SETTINGS.items()
    assert (told["suite"], told["samples"], told["translated"]) == ("t2i_compbench", 2, False)
    lines = (tmp_path / "out" / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == LINES
    for prompt, line in zip(prompts, lines, strict=True):
        for each in json.loads(line)["pictures"]:
            with Image.open(tmp_path / "out" / each["path"]) as picture:
                assert picture.tobytes() == Painter().draw(prompt, each["seed"]).tobytes()


def test_a_finished_folder_is_not_painted_again(prompts, tmp_path):
    paint(prompts, tmp_path / "out", Painter())
    before = files_of(tmp_path / "out")
    painter = Painter()
    done = paint(prompts, tmp_path / "out", painter)
    assert (done.pictures, done.painted, painter.batches) == (10, 0, [])
    assert files_of(tmp_path / "out") == before


def test_an_error_keeps_what_is_painted(prompts, tmp_path):
    paint(prompts, tmp_path / "clean", Painter())
    with pytest.raises(RuntimeError, match="the device is gone"):
        paint(prompts, tmp_path / "out", Painter(fails_after=2))
    assert len(pictures_of(tmp_path / "out")) == 8
    painter = Painter()
    assert paint(prompts, tmp_path / "out", painter).painted == 2
    assert len(painter.batches) == 1
    assert files_of(tmp_path / "out") == files_of(tmp_path / "clean")


@pytest.mark.parametrize("place", [0, 6])
def test_a_killed_export_goes_on_and_equals_a_clean_one(file, prompts, tmp_path, place):
    paint(prompts, tmp_path / "clean", Painter())
    command = [sys.executable, "-m", "tests.suites.painting", str(file), str(tmp_path / "out")]
    killed = subprocess.run([*command, str(place)], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    whole = pictures_of(tmp_path / "clean")
    left = pictures_of(tmp_path / "out")
    assert left.items() <= whole.items(), "no picture is torn"
    assert len(left) == place
    assert set(os.listdir(tmp_path / "out" / "samples")) == {name.split("/")[1] for name in left}
    painter = Painter()
    assert paint(prompts, tmp_path / "out", painter).painted == 10 - place
    assert [len(batch) for batch in painter.batches] == [4, 4, 2][place // 4 :]
    assert files_of(tmp_path / "out") == files_of(tmp_path / "clean")


@pytest.mark.parametrize(
    ("name", "value"), [("guidance", 7.5), ("adapter", "adapter@2"), ("seed", 8), ("extra", 1)]
)
def test_other_settings_are_refused(prompts, tmp_path, name, value):
    paint(prompts, tmp_path / "out", Painter())
    before = files_of(tmp_path / "out")
    with pytest.raises(InputError, match=f"is of {name} = .*, and {value} is asked for; name"):
        paint(prompts, tmp_path / "out", Painter(), **{name: value})
    assert files_of(tmp_path / "out") == before


def test_other_prompts_samples_or_suites_are_refused(prompts, tmp_path):
    paint(prompts, tmp_path / "out", Painter())
    with pytest.raises(InputError, match="is of prompts = "):
        paint(prompts[:3], tmp_path / "out", Painter())
    with pytest.raises(InputError, match="is of samples = 2, and 3 is"):
        export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, samples=3)
    with pytest.raises(InputError, match="is of suite = t2i_compbench, and visor is"):
        export(suite_of("visor"), prompts, tmp_path / "out", Painter(), settings=SETTINGS)


def test_folders_of_others_are_refused(prompts, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "holiday.jpg").touch()
    with pytest.raises(InputError, match=r"holds holiday\.jpg and no spatialgen\.json"):
        paint(prompts, tmp_path / "out", Painter())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        paint(prompts, tmp_path / "file", Painter())
    paint(prompts, tmp_path / "damaged", Painter())
    (tmp_path / "damaged" / "spatialgen.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="is damaged; remove"):
        paint(prompts, tmp_path / "damaged", Painter())


def test_two_runs_do_not_paint_in_one_folder(prompts, tmp_path):
    paint(prompts, tmp_path / "out", Painter())
    with (tmp_path / "out" / "spatialgen.json").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LakeError, match="another run paints"):
            paint(prompts, tmp_path / "out", Painter())


def test_prompts_alone_are_filled_later(prompts, tmp_path):
    done = export_prompts(SUITE, prompts, tmp_path / "out", settings=SETTINGS, samples=2)
    assert (done.pictures, done.painted) == (0, 0)
    assert not pictures_of(tmp_path / "out")
    assert paint(prompts, tmp_path / "out", Painter()).painted == 10
    paint(prompts, tmp_path / "clean", Painter())
    assert files_of(tmp_path / "out") == files_of(tmp_path / "clean")


def test_the_command_names_the_folder_from_anywhere(prompts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = paint(prompts, Path("out"), Painter())
    assert str(tmp_path / "out") in done.command


def test_nothing_to_paint_is_refused(prompts, tmp_path):
    with pytest.raises(InputError, match="0 pictures of 5 prompts"):
        export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, samples=0)
    with pytest.raises(InputError, match="10 pictures of 0 prompts"):
        export(SUITE, [], tmp_path / "out", Painter(), settings=SETTINGS)
    with pytest.raises(InputError, match="batch is 0"):
        export(SUITE, prompts, tmp_path / "out", Painter(), settings=SETTINGS, batch=0)


def test_suites_are_known_by_name():
    assert SUITES == ("geneval", "t2i_compbench", "visor", "coco_mig")
    assert [suite_of(name).name for name in SUITES] == [*SUITES]
    with pytest.raises(InputError, match="hrs is no suite; choose one of geneval, "):
        suite_of("hrs")
