"""The streaming runner: rows come back as they are answered, and its thread always ends."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from spatialgen.lake.ids import h64
from spatialgen.lake.lake import Lake
from spatialgen.rows import streaming
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Result
from spatialgen.rows.source import Selection, count_rows, scan_rows
from spatialgen.rows.stage import RowStage
from spatialgen.rows.streaming import Exchange, Streaming
from tests.rows.stages import SCHEMA, Lengths, answers, stage_of, table_of

Serve = Callable[[Exchange], Awaitable[None]]


def stage_with(serve: Serve, **options: object) -> RowStage:
    return replace(stage_of(Lengths(), **options), open=lambda device: serve)


async def answer_all(exchange: Exchange) -> None:
    """The last row first, so that order is seen not to matter."""
    while (window := await exchange.next_window()) is not None:
        for row in reversed(window.to_pylist()):
            length = {"length": len(row["caption"]), "status": "ok", "error": None}
            await exchange.answer(row["key"], row["row_id"], length, 10)


def test_every_row_is_answered_once_in_any_order(lake: Lake) -> None:
    captions = [f"猫{n}" for n in range(100)]
    stage = stage_with(answer_all)
    counts = answer_rows(lake, stage, table_of(captions), Streaming(), quiet=True)
    assert (counts.asked, counts.computed, counts.failed) == (100, 100, 0)
    stored = {row["key"]: row["length"] for row in answers(lake, stage)}
    assert stored == {h64("fp", caption): len(caption) for caption in captions}
    assert answer_rows(lake, stage, table_of(captions), Streaming(), quiet=True).computed == 0


def test_rows_come_back_before_the_window_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "RESULT_SECONDS", 0.05)
    seen = threading.Event()

    async def one_waits(exchange: Exchange) -> None:
        window = await exchange.next_window()
        assert window is not None
        first, *others = window.to_pylist()
        for row in others:
            await exchange.answer(row["key"], row["row_id"], {"length": 1}, 1)
        await asyncio.to_thread(seen.wait, 10)
        await exchange.answer(first["key"], first["row_id"], {"length": 1}, 1)

    results = Streaming().run(stage_with(one_waits), iter([window_of(5)]))
    assert len(next(results).window) == 4
    seen.set()
    assert sum(len(result.window) for result in results) == 1


def window_of(rows: int) -> pa.RecordBatch:
    numbers = pa.array(range(rows), pa.int64())
    captions = pa.array([f"猫{n}" for n in range(rows)])
    return pa.record_batch([numbers, numbers, captions], names=["key", "row_id", "caption"])


def test_an_error_of_the_service_is_the_callers(lake: Lake) -> None:
    async def broken(exchange: Exchange) -> None:
        window = await exchange.next_window()
        assert window is not None
        await exchange.answer(window["key"][0].as_py(), 0, {"length": 1, "status": "ok"}, 1)
        raise ZeroDivisionError("a defect")

    stage = stage_with(broken)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        answer_rows(lake, stage, table_of(["猫"]), Streaming(), quiet=True)
    assert len(answers(lake, stage)) == 1, "what it had answered is committed"
    assert not [thread for thread in threading.enumerate() if thread.name == "streaming"]


def test_who_answers_faster_than_the_caller_takes_waits() -> None:
    ahead: list[int] = []

    async def eager(exchange: Exchange) -> None:
        window = await exchange.next_window()
        assert window is not None
        for row in window.to_pylist():
            ahead.append(row["key"])
            await exchange.answer(row["key"], row["row_id"], {"length": 1}, 1 << 20)

    results = Streaming().run(stage_with(eager), iter([window_of(200)]))
    taken = 0
    for result in results:
        assert len(ahead) - taken <= (streaming.HELD_BYTES >> 20) + 2
        taken += len(result.window)
    assert taken == 200


def test_a_caller_that_leaves_ends_the_service() -> None:
    ended = threading.Event()

    async def endless(exchange: Exchange) -> None:
        window = await exchange.next_window()
        assert window is not None
        try:
            for key in range(1_000_000):
                await exchange.answer(key, key, {"length": 1}, 1 << 22)
        finally:
            ended.set()

    results = Streaming().run(stage_with(endless), iter([window_of(1)]))
    assert isinstance(next(results), Result)
    results.close()  # type: ignore[attr-defined]
    assert ended.wait(5)


def test_a_selection_is_what_sql_picks_of_a_dataset(lake: Lake, tmp_path: object) -> None:
    import lance

    dataset = lance.write_dataset(table_of(["猫", "猫猫", "狗"]), f"{tmp_path}/rows.lance")
    picked = Selection(dataset, "caption in ('猫', '狗')")
    assert count_rows(picked) == 2
    rows = pa.Table.from_batches(list(scan_rows(picked, ["caption"], 10)))
    assert sorted(rows["caption"].to_pylist()) == ["狗", "猫"]
    stage = stage_with(answer_all)
    assert answer_rows(lake, stage, picked, Streaming(), quiet=True).asked == 2
    assert {row["length"] for row in answers(lake, stage)} == {1}
    assert SCHEMA.names == ["length"]
