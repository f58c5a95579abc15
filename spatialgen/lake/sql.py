"""Read-only SQL over the lake: a view per table, `store.*`, `runs`, and `metrics`."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import lance
import pyarrow as pa

from spatialgen.errors import QueryError
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import RUNS_SCHEMA, is_blob

METRICS_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),  # without .json: metrics/candidates, lake/candidates
        pa.field("name", pa.string()),  # path to the number, joined by dots
        pa.field("value", pa.float64()),
    ]
)
DOCUMENT_FOLDERS = ("lake", "metrics")
DEFAULT_PARAM = re.compile(r"^-- param (\w+) = (.+)$", re.MULTILINE)
EXPLAIN = re.compile(r"(?:\s|--[^\n]*\n)*explain\s+(?:analyze\s+)?(?:\([^)]*\)\s*)?", re.IGNORECASE)


class Snapshot(Protocol):
    """A state of the lake that can be queried: the workspace, or a revision of it."""

    lake: Lake

    def tables(self) -> list[str]:
        """Names of its tables."""
        ...

    def path(self, table: str) -> Path:
        """The folder of a table that agrees with its manifest."""
        ...

    def documents(self) -> Mapping[str, str]:
        """Texts of its metrics and manifests, by path without .json."""
        ...


class Workspace:
    """The lake as it is on disk."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def tables(self) -> list[str]:
        """Names of the tables that have a manifest."""
        return self.lake.tables()

    def path(self, table: str) -> Path:
        """The table's folder, once it agrees with its manifest."""
        self.lake[table].dataset()
        return self.lake[table].path

    def documents(self) -> Mapping[str, str]:
        """Texts of lake/*.json and metrics/*.json."""
        project = self.lake.root.parent
        return {
            f"{folder}/{path.stem}": path.read_text(encoding="utf-8")
            for folder in DOCUMENT_FOLDERS
            for path in (project / folder).glob("*.json")
        }


def parse_params(text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a query's `$names`: `given` ones over its `-- param name = default` lines."""
    return {**{name: parse_value(value) for name, value in DEFAULT_PARAM.findall(text)}, **given}


def parse_value(text: str) -> Any:
    """A number, true, false, null or "quoted text" as JSON has them; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def run_query(snapshot: Snapshot, text: str, params: Mapping[str, Any]) -> Iterator[pa.Table]:
    """Run the statements of `text` in order, and yield each one's result.

    Raises QueryError where a statement is wrong, lacks a param, or is not a plain query.
    """
    with connect(snapshot, text) as connection:
        try:
            statements = connection.extract_statements(text)
        except duckdb.Error as error:
            raise QueryError(f"the query cannot be parsed: {error}") from None
        if not statements:
            raise QueryError("the query is empty: give a SELECT, or a file of queries/")
        values = parse_params(text, params)
        for statement in statements:
            _require_read_only(connection, statement)
            yield _execute(connection, statement, values)


@contextmanager
def connect(snapshot: Snapshot, text: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB with the views that `text` may use; blob columns are hidden.

    Where `text` names tables, only these are opened: one broken table does not stop queries on the
    others, and an old revision's tables may have to be fetched first.
    """
    words = set(re.findall(r"\w+", text.lower()))
    names = snapshot.tables()
    connection = duck.connect(spill=snapshot.lake.spill)
    try:
        for name in [name for name in names if name in words] or names:
            _add_view(connection, name, lance.dataset(str(snapshot.path(name))))
        connection.execute("create schema store")
        for path in sorted((snapshot.lake.store_root / "store").glob("*.lance")):
            _add_view(connection, path.stem, lance.dataset(str(path)), schema="store")
        runs = snapshot.lake.stored("runs", RUNS_SCHEMA).open()
        _add_view(connection, "runs", runs or RUNS_SCHEMA.empty_table())
        if "metrics" in words:
            _add_view(connection, "metrics", _metrics(snapshot.documents()))
        connection.execute("set lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _add_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    source: lance.LanceDataset | pa.Table,
    schema: str = "main",
) -> None:
    registered = f"_{schema}_{name}"
    connection.register(registered, source)
    columns = ", ".join(f'"{column.name}"' for column in source.schema if not is_blob(column))
    connection.execute(f'create view {schema}."{name}" as select {columns} from "{registered}"')


def _require_read_only(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> None:
    kind = statement.type
    if kind == duckdb.StatementType.EXPLAIN and (prefix := EXPLAIN.match(statement.query)):
        try:
            (kind,) = [
                part.type for part in connection.extract_statements(statement.query[prefix.end() :])
            ]
        except (duckdb.Error, ValueError):
            kind = statement.type  # not understood, so not allowed
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(f"{kind.name} is not allowed: the lake is read-only here, use SELECT")


def _execute(
    connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, values: Mapping[str, Any]
) -> pa.Table:
    if missing := sorted(statement.named_parameters - set(values)):
        raise QueryError(f"${missing[0]} has no value: add -p {missing[0]}=VALUE")
    used = {name: values[name] for name in statement.named_parameters}
    try:
        return connection.sql(statement.query, params=used or None).to_arrow_table()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise QueryError(f"the query fails: {error}") from None


def _metrics(documents: Mapping[str, str]) -> pa.Table:
    rows = [
        {"file": name, "name": path, "value": value}
        for name, text in sorted(documents.items())
        for path, value in _numbers(json.loads(text))
    ]
    return pa.Table.from_pylist(rows, schema=METRICS_SCHEMA)


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)
