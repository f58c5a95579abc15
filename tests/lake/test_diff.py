"""Differences of two states of the lake, against a plain comparison of their rows."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spatialgen.errors import QueryError
from spatialgen.lake.diff import diff
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import TABLES, TableSpec, column
from spatialgen.lake.sql import run_query
from tests.tables import CAT, DOG, boxes, caption, image, make_lake, sound

CELL = st.sampled_from([None, "", "0", "左"])
STATE = st.dictionaries(st.integers(-3, 3), st.tuples(CELL, CELL), max_size=6)


def lines(found):
    """(table, column): the four counts, of tables that changed."""
    rows = found.to_pylist()
    counts = {(r["table"], r["column"]): [*r.values()][2:] for r in rows}
    return {where: found for where, found in counts.items() if found[:3] != [0, 0, 0]}


def states(folder, old, new):
    (folder / "old").mkdir(parents=True)
    (folder / "new").mkdir()
    return make_lake(folder / "old", old), make_lake(folder / "new", new)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(old=STATE, new=STATE)
def test_counts_are_those_of_a_plain_comparison(tmp_path_factory, old, new):
    folder = tmp_path_factory.mktemp("diff")
    rows = [
        [caption(key, tier=tier, error=error) for key, (tier, error) in sorted(state.items())]
        for state in (old, new)
    ]
    found = lines(diff(*states(folder, {"captions": rows[0]}, {"captions": rows[1]})))
    both = old.keys() & new.keys()
    changed = [sum(old[key][n] != new[key][n] for key in both) for n in (0, 1)]
    any_changed = sum(old[key] != new[key] for key in both)
    expected = {
        ("captions", None): [
            len(new.keys() - old), len(old.keys() - new), any_changed, len(both) - any_changed
        ]
    } | {
        ("captions", name): [0, 0, n, len(both) - n]
        for name, n in zip(("tier", "error"), changed, strict=True)
    }  # fmt: skip
    assert found == {where: counts for where, counts in expected.items() if any(counts[:3])}


def test_nested_columns_and_pictures_are_compared(tmp_path):
    moved = CAT | {"bbox": [0.0, 0.0, 0.5, 0.25]}
    new = sound() | {
        "boxes": [boxes(1, objects=[moved, DOG]), boxes(2)],
        "images": [image(1), image(2, phash=None)],
    }
    found = lines(diff(*states(tmp_path, sound(), new)))
    assert found == {
        ("boxes", None): [0, 0, 1, 1],
        ("boxes", "objects"): [0, 0, 1, 1],
        ("images", None): [0, 0, 1, 1],
        ("images", "phash"): [0, 0, 1, 1],
    }


def test_tables_come_and_go_and_may_be_chosen(tmp_path):
    old, new = sound(), sound()
    del old["splits"], new["rejects"]
    before, after = states(tmp_path, old, new)
    assert lines(diff(before, after)) == {
        ("splits", None): [2, 0, 0, 0],
        ("rejects", None): [0, 1, 0, 0],
    }
    assert diff(before, after, ["boxes"]).to_pylist() == [
        {"table": "boxes", "column": None, "added": 0, "removed": 0, "changed": 0, "unchanged": 2}
    ]
    with pytest.raises(QueryError, match="no table 'box' in either; tables: boxes, "):
        diff(before, after, ["box"])


def test_columns_come_and_go_and_change_their_type(tmp_path, monkeypatch):
    def publish(folder, *columns):
        names = [name for name, _, _ in columns]
        schema = pa.schema([column(name, kind, "c") for name, kind, _ in columns])
        spec = TableSpec("things", "things", ("id",), schema)
        lake = Lake(tmp_path / folder / "lake", store=tmp_path / folder / ".lake")
        values = [pa.array(cells, kind) for _, kind, cells in columns]
        lake.publish(spec, [pa.record_batch(values, schema=schema)])
        return lake, spec, names

    key = ("id", pa.int64(), [1, 2])
    old, spec, _ = publish("old", key, ("lost", pa.int64(), [1, 1]), ("n", pa.int32(), [1, 2]))
    new, _, _ = publish("new", key, ("n", pa.int64(), [1, 3]), ("got", pa.int64(), [1, 1]))
    monkeypatch.setitem(TABLES, "things", spec)
    assert lines(diff(old, new)) == {
        ("things", None): [0, 0, 1, 1],
        ("things", "n"): [0, 0, 1, 1],
        ("things", "got"): [2, 0, 0, 0],
        ("things", "lost"): [0, 2, 0, 0],
    }
    monkeypatch.delitem(TABLES, "things")  # its key is unknown: rows are what their cells say
    assert lines(diff(old, new))["things", None] == [1, 1, 0, 1]


def test_queries_see_both_states(tmp_path):
    new = sound() | {"captions": [caption(9)]}
    before, after = states(tmp_path, sound(), new)
    text = """select (select count(*) from old.captions) as before, count(*) as now
              from new.captions anti join old.captions using (row_id)"""
    (found,) = run_query(after, text, {}, {"old": before, "new": after})
    assert found.to_pylist() == [{"before": 4, "now": 1}]
