"""The loop: killed, continued, short of memory, shared, and with other data."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spatialgen.errors import InputError, LakeError, RowsError
from spatialgen.training.folder import Checkpoint, TrainingFolder
from spatialgen.training.loop import train
from tests.conftest import REPOSITORY
from tests.training.numbers import BATCH, ROWS, Line, Numbers, make_loop

STEPS = 33
COMMAND = [sys.executable, "-m", "tests.training.numbers"]


def losses(folder: Path) -> list[float]:
    return [line["train/loss"] for line in TrainingFolder(folder).noted()]


def result(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "result" / "line.safetensors")


def last_checkpoint(folder: Path) -> Checkpoint:
    checkpoint = TrainingFolder(folder).latest()
    assert checkpoint
    return checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    make_loop(folder, STEPS).run(quiet=True)
    return folder


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[Any]) -> None:
    while len(losses(folder)) < step:
        assert process.poll() is None, "it ended before it was stopped"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [0, 1])
def test_kill_9_shows_every_row_once_an_epoch_and_changes_no_loss(tmp_path, whole, workers):
    command = [*COMMAND, str(tmp_path), str(STEPS), "--slow", "0.03", "--workers", str(workers)]
    for stop in (8, 17):  # in the first epoch, and after its end
        process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
        wait_for_step(tmp_path, stop, process)
        process.kill()
        process.wait()
    subprocess.run(command, cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)
    assert losses(tmp_path) == losses(whole)
    assert all(torch.equal(a, result(whole)[name]) for name, a in result(tmp_path).items())
    files = sorted(tmp_path.glob("seen-*.jsonl"), key=lambda path: path.stat().st_mtime)
    runs = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    seen = runs[0][:5] + runs[1][:10] + runs[2]  # up to the checkpoint that the next one began at
    assert len(seen) == STEPS
    rows = [*chain.from_iterable(seen)]
    for epoch in range(len(rows) // ROWS):
        once = Counter(rows[epoch * ROWS : (epoch + 1) * ROWS])
        assert once == Counter(Numbers().row_ids.tolist())
    assert len(rows) // ROWS == 4


def test_ctrl_c_saves_the_step_it_came_in(tmp_path, whole):
    command = [*COMMAND, str(tmp_path), str(STEPS), "--slow", "0.03"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    wait_for_step(tmp_path, 7, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in said
    assert last_checkpoint(tmp_path).state["step"] == len(losses(tmp_path)) >= 7
    make_loop(tmp_path, STEPS).run(quiet=True)
    assert losses(tmp_path) == losses(whole)


def test_two_processes_see_the_rows_of_one_and_lose_as_much(tmp_path):
    subprocess.run([*COMMAND, str(tmp_path), str(STEPS), "--processes", "2", "--dropout", "0"],
                   cwd=REPOSITORY, check=True, capture_output=True)  # fmt: skip
    # Without dropout, which falls elsewhere in shares, the losses are those of one process.
    make_loop(tmp_path / "one", STEPS, Line(dropout=0)).run(quiet=True)
    assert losses(tmp_path) == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    shares = [
        [json.loads(line) for line in file.read_text().splitlines()]
        for file in tmp_path.glob("seen-*.jsonl")
    ]
    assert len(shares) == 2
    first = [set(chain.from_iterable(share[:6])) for share in shares]
    assert not first[0] & first[1]
    assert len(first[0] | first[1]) == 6 * BATCH


def test_out_of_memory_halves_what_is_computed_at_once_and_no_loss(tmp_path, capsys):
    make_loop(tmp_path / "all", STEPS, Line(dropout=0)).run(quiet=True)
    loop = make_loop(tmp_path / "parts", STEPS, Line(dropout=0, fits=3))
    loop.run(quiet=True)
    assert loop.micro_batch == 2
    assert "out of memory: 4 rows" in capsys.readouterr().err
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "all"), abs=1e-5)
    assert last_checkpoint(tmp_path / "parts").state["micro_batch"] == 2, "a resumed one knows it"


def test_a_row_that_does_not_fit_alone_is_an_error(tmp_path):
    with pytest.raises(RowsError, match="one row does not fit"):
        make_loop(tmp_path, STEPS, Line(fits=0)).run(quiet=True)


def test_other_data_are_refused_or_taken_knowingly(tmp_path):
    first = tmp_path / "first"
    make_loop(first, 10).run(quiet=True)
    shutil.rmtree(first / "result")
    with pytest.raises(LakeError, match="other digest, rows than this training"):
        make_loop(first, 10, rows=60).run(quiet=True)
    with pytest.raises(LakeError, match="other steps than this training"):
        make_loop(first, 20).run(quiet=True)
    second = tmp_path / "second"
    loop = make_loop(second, 20, rows=60, resume=TrainingFolder(first))
    loop.run(quiet=True)
    assert len(losses(second)) == 10, "it went on from the tenth step"
    rates = [line["train/rate"] for line in TrainingFolder(second).noted()]
    assert rates == [0.01 * loop.settings.share_of_rate(step) for step in range(10, 20)]
    with pytest.raises(InputError, match="has done 10 of 10 steps; ask for more"):
        make_loop(tmp_path / "no-more", 10, rows=60, resume=TrainingFolder(first)).run(quiet=True)
    assert losses(second)[0] < losses(first)[0]
    with pytest.raises(InputError, match="holds no checkpoint"):
        make_loop(tmp_path / "third", 20, resume=TrainingFolder(tmp_path / "none")).run(quiet=True)


def test_weights_of_another_model_are_refused(tmp_path):
    make_loop(tmp_path, 10).run(quiet=True)
    shutil.rmtree(tmp_path / "result")
    with pytest.raises(InputError, match="is not alike in both models"):
        make_loop(tmp_path, 10, Line(width=8)).run(quiet=True)


def test_one_run_at_a_time(tmp_path):
    loop = make_loop(tmp_path, 10)
    with loop.folder.held(), pytest.raises(LakeError, match="another run trains"):
        make_loop(tmp_path, 10).run(quiet=True)
    loop.run(quiet=True)
    assert loop.folder.finished


@pytest.mark.parametrize("torn", ["state.json", "weights.safetensors", "optimiser.pt"])
def test_a_torn_line_and_a_torn_checkpoint_are_left_out(tmp_path, whole, torn, capsys):
    make_loop(tmp_path, STEPS).run(quiet=True)
    folder = TrainingFolder(tmp_path)
    shutil.rmtree(folder.result)
    last = last_checkpoint(tmp_path).path
    damaged = last / torn
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    (tmp_path / "checkpoint-old").mkdir()
    with folder.curve.open("a") as file:
        file.write('{"step": 34, "train/lo')
    assert last_checkpoint(tmp_path).state["step"] == 30
    assert "is damaged" in capsys.readouterr().err
    make_loop(tmp_path, STEPS).run(quiet=True)
    assert losses(tmp_path) == losses(whole)


def test_the_report_is_given_every_step_of_a_finished_training(tmp_path):
    make_loop(tmp_path, 10).run(quiet=True)
    lines: list[Mapping[str, float]] = []
    train(TrainingFolder(tmp_path), partial(make_loop, tmp_path, 10), lines.append)
    assert [line["step"] for line in lines] == [*range(1, 11)]
    assert [line["train/loss"] for line in lines] == losses(tmp_path)
    assert "val/score" in lines[4]
    assert "val/score" not in lines[3]


def test_a_loss_that_is_no_number_ends_it(tmp_path):
    with pytest.raises(RowsError, match=r"the loss of step \d+ is (nan|inf); lower the rate"):
        make_loop(tmp_path, STEPS, settings={"rate": 1e30, "clip": 1e30}).run(quiet=True)
    assert not TrainingFolder(tmp_path).finished
