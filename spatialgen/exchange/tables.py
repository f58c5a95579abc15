"""Tables as CSV or Parquet files, for those who have no lake."""

from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from spatialgen.errors import InputError, QueryError
from spatialgen.exchange.places import new_file
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import is_blob
from spatialgen.lake.sql import check_condition

BATCH_ROWS = 65_536
SUFFIXES = (".csv", ".parquet")
# What a table's file holds unless asked otherwise; captions in the form that trainers expect.
COLUMNS = {"captions": ["url", "caption", "spatial_type"]}
ROWS = {"captions": "spatial_type in ('strong', 'weak')"}


def export_table(
    lake: Lake, table: str, file: Path, *, where: str | None = None, force: bool = False
) -> int:
    """Write the rows of `table` that satisfy `where` (Lance's SQL) to `file`; how many there are.

    By its suffix, `file` is CSV (UTF-8, RFC 4180, with a header) or Parquet; rows come by the
    table's key. Blob columns are left out. The file appears when it is complete; one that is there
    is replaced only with `force`.
    """
    if not lake[table].exists:
        raise QueryError(f"there is no table {table!r}; tables: {', '.join(lake.tables())}")
    if where is not None:
        check_condition(where)
    dataset = lake[table].dataset()
    columns = COLUMNS.get(table, [c.name for c in dataset.schema if not is_blob(c)])
    nested = [name for name in columns if pa.types.is_nested(dataset.schema.field(name).type)]
    if nested and file.suffix == ".csv":
        raise InputError(f"{table}.{nested[0]} is nested, and CSV is flat; name a .parquet file")
    condition = ROWS.get(table) if where is None else where
    with new_file(file, force=force) as scratch:
        try:
            return _write(dataset, columns, condition, scratch, file.suffix)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise QueryError(
                f"--where {condition} does not run ({str(error).splitlines()[0][:200]}); use "
                f"columns of {table}: spatialgen tables {table}"
            ) from None


def _write(
    dataset: lance.LanceDataset, columns: list[str], condition: str | None, file: Path, suffix: str
) -> int:
    scanner = dataset.scanner(columns=columns, filter=condition, batch_size=BATCH_ROWS)
    reader, rows = scanner.to_reader(), 0
    with file.open("wb") as sink:
        if suffix == ".csv":
            sink.write((",".join(columns) + "\n").encode())
            options = pa.csv.WriteOptions(include_header=False)
            writer = pa.csv.CSVWriter(sink, reader.schema, write_options=options)
        else:
            writer = pq.ParquetWriter(sink, reader.schema)
        with writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows
