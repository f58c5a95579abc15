import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialgen.errors import RowsError
from spatialgen.rows.batcher import Batcher, is_out_of_memory
from tests.rows.stages import SCHEMA, DeviceOutOfMemoryError, Lengths, stage_of


def window_of(captions: list[str]) -> pa.RecordBatch:
    columns = [pa.array(range(len(captions)), pa.int64()), pa.array(captions, pa.string())]
    return pa.record_batch(columns, names=["row_id", "caption"])


def no_room_above(rows: int, log: list[int] | None = None):
    def check(captions: list[str]) -> None:
        if log is not None:
            log.append(len(captions))
        if len(captions) > rows:
            raise DeviceOutOfMemoryError

    return check


@settings(max_examples=40, deadline=None)
@given(
    captions=st.lists(st.text(max_size=40), min_size=1, max_size=60),
    bad=st.sets(st.text(max_size=2)),
    room=st.integers(1, 20),
    batch_rows=st.integers(1, 20),
)
def test_every_row_gets_its_own_answer_or_its_own_error(
    captions: list[str], bad: set[str], room: int, batch_rows: int
) -> None:
    def check(asked: list[str]) -> None:
        no_room_above(room)(asked)
        if bad & set(asked):
            raise ValueError(f"cannot read {asked}")

    batcher = Batcher(stage_of(Lengths(check), batch_rows=batch_rows), "cpu")
    if sum(caption in bad for caption in captions) >= 16:
        return  # the guard against a dead device has tests of its own
    answers = batcher(window_of(captions)).to_pylist()
    assert len(answers) == len(captions)
    for caption, answer in zip(captions, answers, strict=True):
        if caption in bad:
            assert answer["status"] == "transient"
            assert answer["error"].startswith("ValueError: cannot read")
            assert answer["length"] is None
        else:
            assert answer == {"length": len(caption), "status": "ok", "error": None}


def test_rows_of_similar_size_share_a_batch() -> None:
    function = Lengths()
    Batcher(stage_of(function), "cpu")(window_of(["猫" * n for n in (1, 9, 2, 8, 3, 7, 4, 6)]))
    assert [list(map(len, batch)) for batch in function.batches] == [[9, 8, 7, 6], [4, 3, 2, 1]]


def test_out_of_memory_halves_the_batch_and_the_safe_size_is_remembered() -> None:
    asked: list[int] = []
    batcher = Batcher(stage_of(Lengths(no_room_above(5, asked)), batch_rows=16), "cpu")
    window = window_of(["猫" * 9] * 48)
    answers = batcher(window)
    assert answers["status"].to_pylist() == ["ok"] * 48
    assert asked[:4] == [16, 8, 4, 4]
    assert max(asked[6:]) == 4, "16 and 8 are tried for the first batch alone"
    asked.clear()
    batcher(window)
    assert asked == [4] * 12


def test_smaller_rows_keep_their_larger_batches() -> None:
    """The safe size is remembered by shape: what does not fit at 1000 characters fits at 4."""
    asked: list[tuple[int, int]] = []

    def check(captions: list[str]) -> None:
        asked.append((len(captions[0]), len(captions)))
        if len(captions) * len(captions[0]) > 4000:
            raise DeviceOutOfMemoryError

    batcher = Batcher(stage_of(Lengths(check), batch_rows=16), "cpu")
    batcher(window_of(["长" * 1000] * 16 + ["短" * 4] * 16))
    assert (1000, 4) in asked
    assert (4, 16) in asked


def test_a_row_that_fails_alone_is_quarantined_and_costs_its_batch_nothing() -> None:
    def check(captions: list[str]) -> None:
        if "huge" in captions:
            raise DeviceOutOfMemoryError

    batcher = Batcher(stage_of(Lengths(check), batch_rows=8), "cpu")
    answers = batcher(window_of(["a"] * 7 + ["huge"] + ["b"] * 8)).to_pylist()
    assert [row["status"] for row in answers].count("ok") == 15
    assert answers[7]["error"] == "out of memory: CUDA error: out of memory"
    assert not batcher.safe_rows, "the row was too large, not the batch"


@pytest.mark.parametrize("batch_rows", [1, 8, 32])
def test_when_all_rows_fail_the_stage_is_to_blame(batch_rows: int) -> None:
    def check(captions: list[str]) -> None:
        raise TypeError("no such weight")

    batcher = Batcher(stage_of(Lengths(check), batch_rows=batch_rows), "cpu")
    with pytest.raises(RowsError, match=r"16 rows in a row failed \(TypeError: no such weight\)"):
        batcher(window_of(["a"] * 64))


@pytest.mark.parametrize("batch_rows", [1, 4, 128])
def test_a_device_that_dies_under_way_ends_the_run(batch_rows: int) -> None:
    function = Lengths()
    batcher = Batcher(stage_of(function, batch_rows=batch_rows), "cpu")
    batcher(window_of(["a"] * 64))

    def dead(captions: list[str]) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    function.check = dead
    with pytest.raises(RowsError, match="and so does one that should not"):
        batcher(window_of(["a"] * 64))


def test_many_bad_rows_are_rows(caplog: pytest.LogCaptureFixture) -> None:
    """The largest rows of a window come first, and a witness tells them from a dead device."""

    def check(captions: list[str]) -> None:
        if any(len(caption) > 3 for caption in captions):
            raise DeviceOutOfMemoryError

    batcher = Batcher(stage_of(Lengths(check), batch_rows=8), "cpu")
    answers = batcher(window_of(["long"] * 100 + ["ok"] * 3))
    assert answers["status"].to_pylist() == ["transient"] * 100 + ["ok"] * 3
    assert not batcher.safe_rows, "their number was not the cause"


def test_outliers_do_not_wear_the_safe_size_down() -> None:
    def check(captions: list[str]) -> None:
        if "huge" in captions:
            raise DeviceOutOfMemoryError

    batcher = Batcher(stage_of(Lengths(check), batch_rows=32), "cpu")
    for _ in range(8):
        batcher(window_of(["abcd"] * 60 + ["huge"]))
    assert batcher.safe_rows == {}


def test_after_a_passing_shortage_batches_grow_again() -> None:
    function = Lengths(no_room_above(8))
    batcher = Batcher(stage_of(function, batch_rows=32), "cpu")
    batcher(window_of(["a"] * 32))
    assert batcher.safe_rows == {1: 8}
    function.check = no_room_above(1000)
    for _ in range(40):
        batcher(window_of(["a"] * 64))
    assert batcher.safe_rows == {1: 32}
    function.batches.clear()
    batcher(window_of(["a"] * 64))
    assert [len(batch) for batch in function.batches] == [32, 32]


def test_a_batch_function_gives_one_answer_per_row() -> None:
    def short(batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch([pa.array([1], pa.int64())], schema=SCHEMA)

    with pytest.raises(RowsError, match="gave 1 answers to 2 rows"):
        Batcher(stage_of(short), "cpu")(window_of(["a", "b"]))


def test_what_out_of_memory_looks_like() -> None:
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
