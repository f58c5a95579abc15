"""Rows by key: in any order, with blobs, in other processes."""

import multiprocessing
import pickle

import lance
import pyarrow as pa
import pytest

from spatialgen.errors import LakeError
from spatialgen.lake.keyed import KeyedRows
from spatialgen.lake.parts import as_blobs
from spatialgen.lake.schemas import blob

SCHEMA = pa.schema(
    [pa.field("name", pa.string()), pa.field("number", pa.int64()), blob("file", nullable=True)]
)


def content(number: int) -> bytes | None:
    """Of any size, so that Lance keeps them in all of its ways; none of every seventh."""
    return None if number % 7 == 0 else str(number).encode() * (1 + 9000 * (number % 3))


@pytest.fixture
def table(tmp_path):
    """Two hundred rows in four files, of which some are deleted."""
    path = str(tmp_path / "t.lance")
    for start in range(0, 200, 50):
        numbers = [-(number * 37 % 200) for number in range(start, start + 50)]
        files = as_blobs(pa.array([content(n) for n in numbers], pa.large_binary()))
        columns = [pa.array([f"n{n}" for n in numbers]), pa.array(numbers), files]
        batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
        lance.write_dataset(pa.Table.from_batches([batch]), path, mode="append", schema=SCHEMA)
    lance.dataset(path).delete("number > -10")
    return path


@pytest.mark.parametrize("held", [(), ("number",), ("name", "number")])
@pytest.mark.parametrize("key", ["name", "number"])
def test_rows_come_in_the_order_asked_with_their_blobs(table, key, held):
    wanted = [-150, -11, -199, -98, -11, -14, -10]
    keys = wanted if key == "number" else [f"n{n}" for n in wanted]
    rows = KeyedRows(table, key, held)
    read = rows.take(keys, ["number", "file", "name"])
    assert [row["number"] for row in read] == wanted
    assert [row["name"] for row in read] == [f"n{n}" for n in wanted]
    assert [row["file"] for row in read] == [content(n) for n in wanted]
    assert rows.take(keys, ["file"]) == [{"file": content(n)} for n in wanted]
    assert rows.table(keys, ["number"])["number"].to_pylist() == wanted
    assert rows.take([], ["number", "file"]) == []
    other = 3 if key == "number" else "n3"
    assert rows.has([other, *keys[:2], other]).tolist() == [False, True, True, False]


def test_a_missing_key_is_named_with_the_remedy(table):
    rows = KeyedRows(table, "number")
    with pytest.raises(LakeError, match=r"t\.lance lacks number -3 \(2 of 3 rows\); run \"dvc ch"):
        rows.take([-20, -3, 7], ["name"])
    lance.dataset(table).delete("true")
    with pytest.raises(LakeError, match=r"lacks number -20 \(1 of 1 rows\)"):
        KeyedRows(table, "number").take([-20], ["name"])
    assert KeyedRows(table, "number").take([], ["name"]) == []
    with pytest.raises(LakeError, match=r"no\.lance is missing; run \"dvc checkout\""):
        KeyedRows(table.replace("t.lance", "no.lance"), "number").take([-20], ["name"])


def test_another_process_opens_the_table_itself(table):
    rows = KeyedRows(table, "name")
    before = rows.take(["n-20"], ["number", "file"])
    assert len(pickle.dumps(rows)) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(rows.take, (["n-20"], ["number", "file"])) == before
