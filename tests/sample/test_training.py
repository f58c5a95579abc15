"""Trainings of the small models stop and go on anywhere, and end with the same weights."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from spatialgen.errors import InputError
from spatialgen.sample import generator_latents, train_generator
from spatialgen.sample.train_annotator import AnnotatorTraining
from spatialgen.sample.train_autoencoder import AutoencoderTraining
from spatialgen.sample.train_judge import JudgeTraining
from spatialgen.sample.training import CHECKPOINT, CURVE, Settings, Training, train
from tests.sample.generators import start_generator
from tests.sample.test_train_text import start as start_text

TINY = Settings(steps=4, batch=2, every=4)
STARTS: dict[str, Callable[[Path], Training]] = {
    "text": lambda _: start_text(),
    "annotator": lambda _: AnnotatorTraining(TINY, validation=2),
    "judge": lambda _: JudgeTraining(replace(TINY, seed=1000), validation=2),
    "autoencoder": lambda _: AutoencoderTraining(TINY, validation=2),
    "generator": start_generator,
}
WEIGHTS = Path("model", "model.safetensors")


def weights(folder: Path) -> dict[Path, bytes]:
    """All that was published."""
    model = folder / "model"
    files = {path.relative_to(model): path.read_bytes() for path in model.rglob("*.safetensors")}
    assert files
    return files


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # so that sums are added in one order


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(generator_latents, "PART", 4)
    monkeypatch.setattr(train_generator, "PART", 4)


@pytest.mark.parametrize("name", STARTS)
def test_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(name, tmp_path):
    start = partial(STARTS[name], tmp_path / "data")
    assert train(start(), tmp_path / "whole", resume=False, quiet=True)
    stopped = start()
    stopped.train_step()
    (tmp_path / "parts").mkdir()
    stopped.save(tmp_path / "parts" / CHECKPOINT)
    stopped.train_step()  # lost by the kill
    assert train(start(), tmp_path / "parts", resume=True, quiet=True)
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")


@pytest.mark.parametrize("name", STARTS)
def test_checkpoint_of_another_run_is_refused(name, tmp_path):
    run = STARTS[name](tmp_path)
    run.save(tmp_path / CHECKPOINT)
    run.identity = {**run.identity, "rate": 1.0}
    with pytest.raises(InputError, match="is of a run with"):
        run.restore(tmp_path / CHECKPOINT)


def test_run_on_other_captions_is_refused(tmp_path):
    start_text().save(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="repeat its arguments and data"):
        start_text(["一只猫", "草地上的狗"]).restore(tmp_path / CHECKPOINT)


def test_run_is_not_begun_over_another(tmp_path):
    train(start_text(), tmp_path, resume=False, seconds=0, quiet=True)
    with pytest.raises(InputError, match="add --resume"):
        train(start_text(), tmp_path, resume=False, quiet=True)


def test_torn_curve_and_half_written_model_do_no_harm(tmp_path):
    train(start_text(), tmp_path, resume=False, quiet=True)
    whole = (tmp_path / CURVE).read_text()
    (tmp_path / CURVE).write_text(whole + '{"step": 2, "re')
    (tmp_path / "model.part").mkdir()
    (tmp_path / "model.part" / "config.json").write_text("{")
    assert train(start_text(), tmp_path, resume=True, quiet=True)
    assert (tmp_path / CURVE).read_text() == whole
    assert not (tmp_path / "model.part").exists()


@pytest.mark.parametrize("name", ["steps", "batch", "every"])
def test_settings_are_positive(name):
    with pytest.raises(InputError, match=f"{name} is 0"):
        replace(TINY, **{name: 0})


def test_training_stops_when_its_time_is_over_and_publishes_nothing(tmp_path):
    assert not train(start_text(), tmp_path, resume=False, seconds=0, quiet=True)
    assert not (tmp_path / "model").exists()
    assert train(start_text(), tmp_path, resume=True, quiet=True)
    curve = [json.loads(line) for line in (tmp_path / CURVE).read_text().splitlines()]
    assert [row["step"] for row in curve] == [1, 2, 3]


def test_killed_command_goes_on_with_resume(tmp_path):
    command = [
        *[sys.executable, "-m", "spatialgen.sample.train_judge", "--out", str(tmp_path)],
        *["--steps", "6", "--batch", "2", "--every", "1", "--validation", "2"],
    ]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (tmp_path / CHECKPOINT).exists():
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    reached = torch.load(tmp_path / CHECKPOINT)["step"]
    subprocess.run([*command, "--resume", "--quiet"], check=True)
    curve = [json.loads(line)["step"] for line in (tmp_path / CURVE).read_text().splitlines()]
    assert sorted(set(curve)) == [1, 2, 3, 4, 5, 6]
    assert curve[-1] == 6 > reached
    assert (tmp_path / WEIGHTS).exists()
