"""Read-only SQL over the lake: a view per table, `store.*`, `runs`, and `metrics`.

Other states of the lake stand beside it under names of their own: `committed.captions`,
`old.metrics`.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import lance
import pyarrow as pa

from spatialgen.errors import LakeError, QueryError
from spatialgen.lake import duck
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import RUNS_SCHEMA, is_blob

logger = logging.getLogger(__name__)

MAIN = "main"  # DuckDB's schema of names without one
METRICS_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),  # without .json: metrics/candidates, lake/candidates
        pa.field("name", pa.string()),  # path to the number, joined by dots
        pa.field("value", pa.float64()),
    ]
)
DEFAULT_PARAM = re.compile(r"^-- param (\w+) = (.+)$", re.MULTILINE)
EXPLAIN = re.compile(r"(?:\s|--[^\n]*\n)*explain\s+(?:analyze\s+)?(?:\([^)]*\)\s*)?", re.IGNORECASE)


class Snapshot(Protocol):
    """A state of the lake that can be queried: a Lake as it is now, or a Revision of it."""

    @property
    def spill(self) -> Path:
        """Where queries that outgrow memory keep their overflow."""

    def tables(self) -> list[str]:
        """Names of its tables."""

    def manifest(self, table: str) -> Manifest:
        """What a table holds."""

    def path(self, table: str) -> Path:
        """The folder of a table that agrees with its manifest."""

    def documents(self) -> Mapping[str, str]:
        """Texts of its metrics and manifests, by path without .json."""

    def stores(self) -> Mapping[str, lance.LanceDataset]:
        """The store's datasets by name; they have no revisions."""


def parse_params(text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a query's `$names`: `given` ones over its `-- param name = default` lines."""
    return {**{name: parse_value(value) for name, value in DEFAULT_PARAM.findall(text)}, **given}


def parse_value(text: str) -> Any:
    """A number, true, false, null or "quoted text" as JSON has them; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def check_condition(where: str) -> None:
    """QueryError where `where` cannot be a single condition."""
    if not where.strip() or ";" in where:
        raise QueryError(f"--where {where!r} is no condition; write one, such as p_strong > 0.9")


def run_query(
    snapshot: Snapshot,
    text: str,
    params: Mapping[str, Any],
    others: Mapping[str, Snapshot] | None = None,
) -> Iterator[pa.Table]:
    """Run the statements of `text` in order, and yield each one's result.

    Tables of `others` are named with theirs: `old.captions`. Raises QueryError where a statement is
    wrong, lacks a param, or is not a plain query.
    """
    with connect(snapshot, text, others) as connection:
        try:
            statements = connection.extract_statements(text)
        except duckdb.Error as error:
            raise QueryError(f"the query cannot be parsed: {error}") from None
        if not statements:
            raise QueryError("the query is empty: give a SELECT, or a file of queries/")
        values = parse_params(text, params)
        known = {name for statement in statements for name in statement.named_parameters}
        if unused := sorted(set(params) - known):
            names = ", ".join(sorted(known)) or "none"
            raise QueryError(f"the query has no ${unused[0]}; its params: {names}")
        for statement in statements:
            _require_read_only(connection, statement)
            yield _execute(connection, statement, values)


@contextmanager
def connect(
    snapshot: Snapshot, text: str, others: Mapping[str, Snapshot] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB with the views that `text` may use; blob columns are hidden.

    Where `text` names tables, only these are opened: one broken table does not stop queries on the
    others, and an old revision's tables may have to be fetched first. Of `others`, only those that
    `text` names are asked for anything.
    """
    connection = duck.connect(spill=snapshot.spill)
    try:
        own, elsewhere = text.lower(), False
        for schema, other in (others or {}).items():
            pattern = _qualified(schema)
            if words := set(pattern.findall(own)):
                own, elsewhere = pattern.sub(" ", own), True
                connection.execute(f"create schema {schema}")
                named = [name for name in other.tables() if name in words]
                _add_tables(connection, other, named, schema)
                _add_view(connection, "metrics", metrics_table(other.documents()), schema)
        words = set(re.findall(r"\w+", own))
        named = [name for name in snapshot.tables() if name in words]
        if named or elsewhere:
            _add_tables(connection, snapshot, named)
        else:
            _add_sound_tables(connection, snapshot)
        connection.execute("create schema store")
        stores = snapshot.stores()
        for name, dataset in stores.items():
            _add_view(connection, name, dataset, "store")
        _add_view(connection, "runs", stores.get("runs", RUNS_SCHEMA.empty_table()))
        _add_view(connection, "metrics", metrics_table(snapshot.documents()))
        connection.execute("set lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _qualified(schema: str) -> re.Pattern[str]:
    """A table's name behind its schema's, as SQL may write it."""
    return re.compile(rf'"?\b{schema}\b"?\s*\.\s*"?(\w+)"?')


def _add_tables(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Snapshot,
    names: Sequence[str],
    schema: str = MAIN,
) -> None:
    for name in names:
        _add_view(connection, name, lance.dataset(str(snapshot.path(name))), schema)


def _add_sound_tables(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    for name in snapshot.tables():
        try:
            _add_tables(connection, snapshot, [name])
        except LakeError as error:
            logger.warning("%s is left out: %s", name, error)


def _add_view(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    source: lance.LanceDataset | pa.Table,
    schema: str = MAIN,
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
        return _interruptible(
            connection,
            lambda: connection.sql(statement.query, params=used or None).to_arrow_table(),
        )
    except duckdb.OutOfMemoryException:
        raise QueryError(
            f"the query needs more than {duck.MEMORY} of memory, even with the disk's help; "
            "select fewer columns, or aggregate before you join or sort"
        ) from None
    except duckdb.CatalogException as error:
        raise QueryError(
            f"the query fails: {error}\n"
            '"spatialgen tables" lists what is here, "dvc repro" makes it'
        ) from None
    except duckdb.Error as error:
        raise QueryError(f"the query fails: {error}") from None


def _interruptible(
    connection: duckdb.DuckDBPyConnection, query: Callable[[], pa.Table]
) -> pa.Table:
    """Run `query` in a thread: a DuckDB in the main thread hears no Ctrl-C until it is done."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(query)
        try:
            return running.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def metrics_table(documents: Mapping[str, str]) -> pa.Table:
    """Every number in these JSON texts, as METRICS_SCHEMA."""
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
