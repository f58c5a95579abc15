import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pytest

from spatialgen.lake.lake import Lake
from spatialgen.rows import engine
from spatialgen.rows.engine import answer_rows, count_unanswered
from spatialgen.rows.progress import read_statuses
from spatialgen.rows.runner import Inline
from tests.conftest import REPOSITORY
from tests.rows.stages import Lengths, answers, stage_of, table_of

ANIMALS = ["猫", "狗", "大象", "长颈鹿"]


def run(lake: Lake, function: object, rows: pa.Table, **options: object) -> engine.Counts:
    stage = stage_of(function, **options)  # type: ignore[arg-type]
    return answer_rows(lake, stage, rows, Inline(), quiet=True)


def test_equal_questions_are_asked_once_and_answered_for_all(lake: Lake) -> None:
    function, rows = Lengths(), table_of(ANIMALS * 25)
    counts = run(lake, function, rows)
    assert counts == engine.Counts(asked=100, reused=0, computed=4, failed=0)
    assert sorted(function.asked) == sorted(ANIMALS)
    again = run(lake, Lengths(), rows)
    assert again == engine.Counts(asked=100, reused=100)


def test_questions_are_asked_once_across_rounds_too(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ROUND_ROWS", 10)
    function = Lengths()
    assert run(lake, function, table_of(ANIMALS * 25)).computed == 4
    assert len(function.asked) == 4


def test_only_new_rows_are_computed(lake: Lake) -> None:
    captions = [f"猫{n}" for n in range(200)]
    run(lake, Lengths(), table_of(captions))
    function = Lengths()
    counts = run(lake, function, table_of([*captions, "狗1", "狗2"]))
    assert (counts.asked, counts.reused, counts.computed) == (202, 200, 2)
    assert sorted(function.asked) == ["狗1", "狗2"]


def test_another_fingerprint_asks_again_and_going_back_asks_nothing(lake: Lake) -> None:
    rows = table_of(ANIMALS)
    assert [run(lake, Lengths(), rows).computed for _ in range(2)] == [4, 0]
    stage = stage_of(Lengths())
    other = replace(stage, fp="other")
    assert answer_rows(lake, other, rows, Inline(), quiet=True).computed == 4
    assert run(lake, Lengths(), rows).computed == 0


def test_failed_rows_are_asked_again_when_attempt_is_raised(lake: Lake) -> None:
    def refuse(captions: list[str]) -> None:
        if "狗" in captions:
            raise ValueError("a dog")

    rows = table_of(ANIMALS)
    assert run(lake, Lengths(refuse), rows).failed == 1
    assert run(lake, Lengths(), rows).computed == 0, "a rerun alone asks nothing"
    assert run(lake, Lengths(), rows, attempt=2).computed == 1
    best = lake.memo("demo", stage_of(Lengths()).schema)
    assert [row["status"] for row in answers(lake, stage_of(Lengths()))].count("transient") == 1
    keys = pa.chunked_array([[row["key"] for row in answers(lake, stage_of(Lengths()))]])
    assert set(best.answers(keys)["status"].to_pylist()) == {"ok"}


def test_what_was_finished_is_committed_when_the_run_breaks(lake: Lake) -> None:
    function = Lengths()

    def stop(captions: list[str]) -> None:
        if len(function.batches) == 11:
            raise KeyboardInterrupt

    function.check = stop
    with pytest.raises(KeyboardInterrupt):
        run(lake, function, table_of([f"猫{n}" for n in range(100)]))
    assert len(answers(lake, stage_of(Lengths()))) == 32, "two windows of 16; the third was open"
    (status,) = read_statuses(lake.store_root)
    assert (status.state, status.done, status.total) == ("interrupted", 32, 100)


def test_the_model_is_loaded_only_if_there_is_a_row_to_do(lake: Lake) -> None:
    run(lake, Lengths(), table_of(ANIMALS))

    def no_load(device: str) -> NoReturn:
        raise AssertionError("loaded")

    stage = stage_of(Lengths())
    idle = replace(stage, open=no_load)
    assert answer_rows(lake, idle, table_of(ANIMALS), Inline(), quiet=True).computed == 0
    assert answer_rows(lake, idle, table_of([]), Inline(), quiet=True).asked == 0


@pytest.mark.parametrize(
    "name", ["", " ", "\x00\x01", "🐱👨‍👩‍👧", "'; drop table x; --", "$a {b} %s"]
)
def test_odd_captions_are_questions_like_others(lake: Lake, name: str) -> None:
    counts = run(lake, Lengths(), table_of([name, "猫"]))
    assert counts.computed == 2
    assert count_unanswered(lake, stage_of(Lengths()), table_of([name])) == (1, 0, 0)


class Enough:
    """A target that wants so many rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.seen = 0

    def missing(self, answered: pa.Table) -> int:
        self.seen += answered.num_rows
        return max(self.rows - self.seen, 0)


def test_a_target_ends_the_run_at_a_round(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TARGET_ROUND_ROWS", 20)
    rows = table_of([f"猫{n}" for n in range(100)])
    stage = stage_of(Lengths())
    counts = answer_rows(lake, stage, rows, Inline(), target=Enough(30), quiet=True)
    assert counts.computed == 40
    first = rows["row_id"].to_pylist()[:40]
    assert sorted(row["row_id"] for row in answers(lake, stage)) == first  # type: ignore[type-var]
    more = answer_rows(lake, stage, rows, Inline(), target=Enough(50), quiet=True)
    assert more.computed == 20, "a larger target extends the smaller one"
    (status,) = read_statuses(lake.store_root)
    assert (status.done, status.left) == (20, 0)
    all_of_it = answer_rows(lake, stage, rows, Inline(), target=Enough(10**9), quiet=True)
    assert all_of_it.computed == 40
    (status,) = read_statuses(lake.store_root)
    assert (status.done, status.left) == (40, 0), "a target that is never met expects what there is"


def start(folder: Path, rows: int, seconds: float, log: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.rows.stages", str(folder), str(rows), str(seconds), log]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=120)
    return process.returncode


def batches_in(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_killed_runs_go_on_with_the_batches_of_a_clean_run(tmp_path: Path) -> None:
    clean = start(tmp_path / "clean", 400, 0, "log")
    assert end(clean) == 0
    expected = batches_in(tmp_path / "clean" / "log.jsonl")
    folder, rng = tmp_path / "killed", random.Random(5)
    for attempt in range(5):
        killed = start(folder, 400, 0.01, f"log{attempt}")
        log = folder / f"log{attempt}.jsonl"
        while not log.exists() and killed.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        killed.send_signal(signal.SIGKILL)
        end(killed)
    last = start(folder, 400, 0, "last")
    assert end(last) == 0
    resumed = [batches_in(path) for path in folder.glob("*.jsonl")]
    assert all(batch in expected for batches in resumed for batch in batches)
    lake = Lake(folder / "lake", store=folder / ".lake")
    stored = answers(lake, stage_of(Lengths()))
    assert len({row["key"] for row in stored}) == len(stored) == 400


def test_ctrl_c_commits_and_exits_130(tmp_path: Path) -> None:
    running = start(tmp_path, 4000, 0.01, "log")
    while len(batches_in(tmp_path / "log.jsonl")) < 10 and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted: everything committed so far is kept" in errors
    stored = len(answers(Lake(tmp_path / "lake", store=tmp_path / ".lake"), stage_of(Lengths())))
    asked = sum(map(len, batches_in(tmp_path / "log.jsonl")))
    assert 0 < stored <= asked < stored + 32, "all but the open window"


def test_two_runs_at_once_leave_every_answer_once(tmp_path: Path) -> None:
    both = [start(tmp_path, 300, 0.005, name) for name in ("first", "second")]
    assert [end(process) for process in both] == [0, 0]
    lake = Lake(tmp_path / "lake", store=tmp_path / ".lake")
    stage = stage_of(Lengths())
    lake.memo(stage.name, stage.schema).compact()
    assert len(answers(lake, stage)) == 300


def test_a_running_stage_can_be_watched_and_a_killed_one_is_seen(tmp_path: Path) -> None:
    running = start(tmp_path, 4000, 0.01, "log")
    store = tmp_path / ".lake"
    while not any(status.done for status in read_statuses(store)) and running.poll() is None:
        time.sleep(0.05)
    (status,) = read_statuses(store)
    assert status.state == "running"
    assert status.done + status.left == status.total == 4000
    assert status.rows_per_s > 0
    assert status.eta_s
    assert 0 < status.busy["auto"] <= 1
    rows = Lake(tmp_path / "lake", store=store).sql("select count(*) as n from store.demo")
    assert rows["n"][0].as_py() > 0, "what is committed is in SQL while it runs"
    running.kill()
    end(running)
    (status,) = read_statuses(store)
    assert status.state == "died"
    run(Lake(tmp_path / "lake", store=store), Lengths(), table_of(ANIMALS))
    assert [status.state for status in read_statuses(store)] == ["finished"]
