import errno
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from spatialgen.errors import DiskFullError, LakeError, ParamsError, explain
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES
from spatialgen.project import INTERRUPTED, find_root, run, store_root


def candidates(rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, 1000):
        ids = list(range(start, start + 1000))
        captions = [f"左边 {n * 7919 % 1_000_003:x}" * 4 for n in ids]
        yield pa.record_batch([ids, captions, captions], names=["row_id", "url", "caption"])


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    lake = Lake(tmp_path / "lake", store=small_disk)
    before = lake.publish(CANDIDATES, candidates(2000))
    with pytest.raises(Exception) as error:  # noqa: PT011 - Lance and DuckDB raise their own kinds
        lake.publish(CANDIDATES, candidates(200_000))
    known = explain(error.value)
    assert isinstance(known, DiskFullError)
    assert "free some space" in str(known)
    assert lake["candidates"].manifest == before
    assert lake["candidates"].dataset().count_rows() == 2000
    assert lake.publish(CANDIDATES, candidates(3000)).rows == 3000  # the scratch is gone


def test_only_mendable_errors_are_explained() -> None:
    assert explain(ValueError("a defect")) is None
    assert isinstance(explain(OSError(errno.ENOSPC, "full", "/x/y")), DiskFullError)
    assert "/x/y" in str(explain(OSError(errno.ENOSPC, "full", "/x/y")))


def test_a_memory_limit_that_is_too_small_names_the_params() -> None:
    error = RuntimeError("Out of Memory Error: failed to pin block\nSee https://...")
    known = explain(error)
    assert isinstance(known, ParamsError)
    assert "raise compute.memory or lower compute.threads" in str(known)
    assert "\n" not in str(known)


def test_run_turns_errors_into_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise LakeError("lake/x.json is missing; run it")

    def interrupt() -> None:
        raise KeyboardInterrupt

    assert run(lambda: None) == 0
    assert run(fail) == 1
    assert capsys.readouterr().err == "error: lake/x.json is missing; run it\n"
    assert run(interrupt) == INTERRUPTED
    assert "kept" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        run(lambda: print(1 / 0))


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("SPATIALGEN_STORE", raising=False)
    with pytest.raises(LakeError, match="is in no spatialgen project"):
        find_root(tmp_path)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_root(tmp_path / "a" / "b") == tmp_path.resolve()
    assert store_root(tmp_path) == tmp_path / ".lake"
    monkeypatch.setenv("DVC_ROOT", "/main")
    assert store_root(tmp_path) == Path("/main/.lake")
    monkeypatch.setenv("SPATIALGEN_STORE", str(tmp_path / "shared"))
    assert store_root(tmp_path) == tmp_path / "shared"
    monkeypatch.setenv("SPATIALGEN_STORE", "shared")
    with pytest.raises(LakeError, match="is relative"):
        store_root(tmp_path)
    monkeypatch.setenv("SPATIALGEN_STORE", str(tmp_path / "dvc.yaml"))
    with pytest.raises(LakeError, match="is a file: give it a folder"):
        store_root(tmp_path)
