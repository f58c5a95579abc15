"""What changed between two states of the lake, by table and column."""

from collections.abc import Iterator, Sequence

import duckdb
import lance
import pyarrow as pa

from spatialgen.errors import QueryError
from spatialgen.lake import duck
from spatialgen.lake.schemas import TABLES, is_blob
from spatialgen.lake.sql import Snapshot

CHANGES = pa.schema(
    [
        pa.field("table", pa.string()),
        pa.field("column", pa.string()),  # null: rows; a name: that column, in rows of both states
        pa.field("added", pa.int64()),  # rows of the new state alone; rows that got the column
        pa.field("removed", pa.int64()),  # rows of the old state alone; rows that lost the column
        pa.field("changed", pa.int64()),  # rows of both that differ, in any column or in this one
        pa.field("unchanged", pa.int64()),  # rows of both that do not
    ]
)


def diff(old: Snapshot, new: Snapshot, tables: Sequence[str] = ()) -> pa.Table:
    """The changes from `old` to `new` of these `tables` (default: all), as CHANGES: one row per
    table, and one per column that changed.

    Rows are the same if their keys are (see schemas.TABLES); a table of unknown key has no changed
    rows, only added and removed ones. Blobs are not read: their digests stand for them.
    """
    known = sorted({*old.tables(), *new.tables()})
    if unknown := sorted(set(tables) - set(known)):
        raise QueryError(f"there is no table {unknown[0]!r} in either; tables: {', '.join(known)}")
    rows = [row for name in tables or known for row in _diff_table(old, new, name)]
    return pa.Table.from_pylist(rows, schema=CHANGES)


def _diff_table(old: Snapshot, new: Snapshot, table: str) -> Iterator[dict[str, object]]:
    before, after = (
        state.manifest(table) if table in state.tables() else None for state in (old, new)
    )
    if before is None or after is None:
        added, removed = (each.rows if each else 0 for each in (after, before))
        yield _row(table, None, added, removed, 0, 0)
    elif (before.digest, before.schema) == (after.digest, after.schema):
        yield _row(table, None, 0, 0, 0, after.rows)
    else:
        yield from _compare(old, new, table)


def _compare(old: Snapshot, new: Snapshot, table: str) -> Iterator[dict[str, object]]:
    states = {"old": old, "new": new}
    datasets = {name: lance.dataset(str(state.path(table))) for name, state in states.items()}
    columns = {
        name: {field.name: field.type for field in dataset.schema if not is_blob(field)}
        for name, dataset in datasets.items()
    }
    shared = [name for name in columns["new"] if name in columns["old"]]
    key = TABLES[table].key if table in TABLES else shared
    compared = [name for name in shared if name not in key]
    values = [
        f'"{name}"' if columns["old"][name] == columns["new"][name] else f'"{name}"::varchar'
        for name in compared
    ]
    connection = duck.connect(spill=new.spill)
    try:
        for name, dataset in datasets.items():
            connection.register(f"{name}_rows", dataset)
        added, removed, changed, both, *by_column = _count(connection, key, values)
    finally:
        connection.close()
    yield _row(table, None, added, removed, changed, both - changed)
    for name, differing in zip(compared, by_column, strict=True):
        if differing:
            yield _row(table, name, 0, 0, differing, both - differing)
    for name in columns["new"]:
        if name not in shared:
            yield _row(table, name, both, 0, 0, 0)
    for name in columns["old"]:
        if name not in shared:
            yield _row(table, name, 0, both, 0, 0)


def _count(
    connection: duckdb.DuckDBPyConnection, key: Sequence[str], values: Sequence[str]
) -> tuple[int, ...]:
    """Added, removed, changed and common rows, then the rows that differ in each of `values`.

    Values are compared by their 64-bit hashes, so that a join holds eight bytes of each.
    """
    columns = [
        *(f'"{name}" as k{n}' for n, name in enumerate(key)),
        *(f"hash({value}) as v{n}" for n, value in enumerate(values)),
        "true as there",
    ]
    joined = [f"old.k{n} is not distinct from new.k{n}" for n in range(len(key))]
    differs = [f"old.v{n} <> new.v{n}" for n in range(len(values))]
    both = "old.there and new.there"
    counts = [
        "old.there is null",
        "new.there is null",
        f"{both} and ({' or '.join(differs) or 'false'})",
        both,
        *differs,
    ]
    (found,) = connection.execute(
        f"""
        select {", ".join(f"count(*) filter ({count})" for count in counts)}
        from (select {", ".join(columns)} from old_rows) as old
        full join (select {", ".join(columns)} from new_rows) as new on {" and ".join(joined)}
        """
    ).fetchall()
    return tuple(int(count) for count in found)


def _row(
    table: str, column: str | None, added: int, removed: int, changed: int, unchanged: int
) -> dict[str, object]:
    counts = {"added": added, "removed": removed, "changed": changed, "unchanged": unchanged}
    return {"table": table, "column": column, **counts}
