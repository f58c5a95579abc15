"""What a row stage is asked about: a dataset, a table, or what SQL picks of a dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import duckdb
import lance
import pyarrow as pa


@dataclass(frozen=True)
class Selection:
    """The rows of `dataset` that satisfy `where`, a condition that DuckDB and Lance read alike."""

    dataset: lance.LanceDataset
    where: str


Source: TypeAlias = "lance.LanceDataset | pa.Table | Selection"
"""Rows in row_id order, with the stage's key columns."""


def count_rows(source: Source) -> int:
    """How many rows there are."""
    if isinstance(source, Selection):
        return int(source.dataset.count_rows(source.where))
    return source.num_rows if isinstance(source, pa.Table) else int(source.count_rows())


def scan_rows(source: Source, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The rows in their order."""
    if isinstance(source, pa.Table):
        yield from source.select(columns).to_batches(max_chunksize=batch_rows)
        return
    chosen = source if isinstance(source, Selection) else Selection(source, "true")
    options = {"columns": list(columns), "filter": chosen.where, "batch_size": batch_rows}
    yield from chosen.dataset.scanner(**options).to_reader()


def register_rows(connection: duckdb.DuckDBPyConnection, name: str, source: Source) -> None:
    """Make the rows a view of this name."""
    if not isinstance(source, Selection):
        connection.register(name, source)
        return
    connection.register(f"all_{name}", source.dataset)
    connection.execute(f"create view {name} as from all_{name} where {source.where}")
