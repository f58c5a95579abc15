"""Printing Arrow tables for people (aligned, also where the text is Chinese), or for programs."""

import csv
import json
import math
import sys
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def print_table(table: pa.Table, format: Format) -> None:
    """Print all rows of `table` to stdout."""
    if format is Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(_rows(table))
    elif format is Format.json:
        json.dump(_records(table), sys.stdout, ensure_ascii=False, default=str, indent=1)
        print()
    else:
        _print_aligned(table)


def _print_aligned(table: pa.Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in zip(table.column_names, table.columns, strict=True):
        numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        numeric |= pa.types.is_decimal(column.type)
        shown.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in _rows(table):
        shown.add_row(*(Text(_cell(value)) for value in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100_000)  # a pipe or file has no edge to wrap at
    console.print(shown)


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Rows as tuples: column names may repeat, so dicts would lose values."""
    for batch in table.to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _records(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as JSON objects: a repeated name gets its position, and NaN becomes null."""
    names = [
        name if name not in table.column_names[:position] else f"{name}_{position + 1}"
        for position, name in enumerate(table.column_names)
    ]
    return [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in _rows(table)
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
