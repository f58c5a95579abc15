import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spatialgen.lake import store
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import RUNS_SCHEMA
from spatialgen.lake.store import Memo

RESULT = pa.schema([("label", pa.string())])
START = datetime(2026, 1, 1, tzinfo=UTC)


def answer(memo: Memo, *rows: tuple[int, int, str, str]) -> None:
    """Commit rows of (key, attempt, status, label), a second after the rows before."""
    base = START + timedelta(seconds=memo.count_rows())
    table = pa.Table.from_pylist(
        [
            {
                "key": key,
                "row_id": key,
                "fp": "f",
                "attempt": attempt,
                "status": status,
                "error": None if status == "ok" else "why",
                "committed": base + timedelta(seconds=number),
                "label": label,
            }
            for number, (key, attempt, status, label) in enumerate(rows)
        ],
        schema=memo.schema,
    )
    memo.append(table)


def wanted(*keys: int) -> pa.Table:
    return pa.table({"key": pa.array(keys, pa.int64()), "row_id": [-key for key in keys]})


def pending(memo: Memo, *keys: int, attempt: int = 1) -> list[int]:
    return list(memo.pending(wanted(*keys), attempt=attempt)["key"].to_pylist())


def answers(memo: Memo, *keys: int) -> dict[int, str]:
    rows = memo.answers(wanted(*keys)["key"]).to_pylist()
    assert len(rows) == len({row["key"] for row in rows})
    return {row["key"]: row["label"] for row in rows}


def test_pending_is_what_has_no_answer_in_row_id_order(lake: Lake) -> None:
    memo = lake.memo("filter", RESULT)
    assert pending(memo, 1, 2, 3) == [3, 2, 1]  # row_id is -key
    answer(memo, (1, 1, "ok", "a"), (2, 1, "permanent", "b"), (9, 1, "ok", "z"))
    assert pending(memo, 1, 2, 3) == [3]
    assert repr(memo) == "<Memo filter.lance: 3 rows>"


def test_pending_asks_equal_keys_once_by_the_lowest_row_id(lake: Lake) -> None:
    rows = pa.table({"key": [5, 6, 5], "row_id": [3, 2, 1]})
    assert lake.memo("filter", RESULT).pending(rows).to_pylist() == [
        {"key": 5, "row_id": 1},
        {"key": 6, "row_id": 2},
    ]


@pytest.mark.parametrize("slab", [1, 3, 1000])
def test_compaction_and_look_ups_go_through_the_store_in_parts(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, slab: int
) -> None:
    monkeypatch.setattr(store, "SLAB_ROWS", slab)
    memo = lake.memo("filter", RESULT)
    keys = [-(2**63) + 1, -5, 0, 7, 2**63 - 1]
    for label in ("first", "second"):
        answer(memo, *((key, 1, "ok", label) for key in keys))
    assert answers(memo, *keys) == dict.fromkeys(keys, "second")
    memo.compact()
    assert memo.count_rows() == 5
    assert answers(memo, *keys) == dict.fromkeys(keys, "second")
    assert pending(memo, 8, *keys) == [8]


def test_a_transient_failure_is_asked_again_when_attempt_is_raised(lake: Lake) -> None:
    memo = lake.memo("download", RESULT)
    answer(memo, (1, 1, "transient", "late"), (2, 1, "ok", "b"), (3, 1, "permanent", "gone"))
    assert pending(memo, 1, 2, 3) == []
    assert pending(memo, 1, 2, 3, attempt=2) == [1]
    answer(memo, (1, 2, "transient", "late"))
    assert pending(memo, 1, 2, 3, attempt=2) == []
    answer(memo, (1, 3, "ok", "there"))
    assert pending(memo, 1, 2, 3, attempt=4) == []


def test_the_answer_is_the_latest_that_is_no_error_else_the_latest(lake: Lake) -> None:
    memo = lake.memo("download", RESULT)
    answer(memo, (1, 1, "transient", "a"), (1, 2, "transient", "b"))
    answer(memo, (2, 1, "ok", "old"), (2, 2, "ok", "new"), (2, 3, "transient", "late"))
    answer(memo, (3, 1, "permanent", "gone"), (3, 2, "transient", "late"))
    assert answers(memo, 1, 2, 3, 4) == {1: "b", 2: "new", 3: "gone"}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 3),
            st.integers(1, 2),
            st.sampled_from(["ok", "permanent", "transient"]),
            st.text("ab", max_size=2),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_compaction_changes_no_answer(
    tmp_path_factory: object, tmp_path: Path, rows: list[tuple[int, int, str, str]]
) -> None:
    memo = Memo(tmp_path / str(len(list(tmp_path.iterdir()))) / "m.lance", RESULT)
    for row in rows:
        answer(memo, row)
    before = answers(memo, 1, 2, 3), pending(memo, 1, 2, 3, attempt=2)
    memo.compact()
    assert (answers(memo, 1, 2, 3), pending(memo, 1, 2, 3, attempt=2)) == before
    assert memo.count_rows() == len({(key, attempt) for key, attempt, *_ in rows})


APPEND = """
import sys, pyarrow as pa
from pathlib import Path
from spatialgen.lake.store import Dataset
store = Dataset(Path(sys.argv[1]), pa.schema([("key", pa.int64())]))
for n in range(20):
    store.append(pa.table({"key": [int(sys.argv[2]) * 100 + n]}))
"""


def test_processes_append_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store" / "x.lance"
    workers = [
        subprocess.Popen([sys.executable, "-c", APPEND, str(path), str(n)]) for n in range(4)
    ]
    assert [worker.wait() for worker in workers] == [0] * 4
    dataset = Memo(path, RESULT).open()
    assert dataset is not None
    expected = [worker * 100 + n for worker in range(4) for n in range(20)]
    assert sorted(dataset.to_table()["key"].to_pylist()) == expected


def test_runs_are_recorded_once_they_succeed(lake: Lake) -> None:
    with lake.run("filter", "abc") as run:
        run.rows_total, run.rows_reused, run.rows_computed, run.rows_failed = 10, 6, 4, 1
    try:
        with lake.run("filter", "abc"):
            raise RuntimeError
    except RuntimeError:
        pass
    runs = lake.stored("runs", RUNS_SCHEMA).open()
    assert runs is not None
    (row,) = runs.to_table().to_pylist()
    assert row["stage"] == "filter"
    assert (row["rows_total"], row["rows_reused"], row["rows_computed"]) == (10, 6, 4)
    assert row["rows_per_s"] == 4 / row["seconds"]
    assert row["started"].tzinfo is not None
