"""Tables as CSV files, for those who have no lake."""

import contextlib
from pathlib import Path
from typing import BinaryIO

import lance
import pyarrow as pa
import pyarrow.csv

from spatialgen.errors import InputError, QueryError
from spatialgen.lake.lake import Lake
from spatialgen.lake.links import scratch_beside
from spatialgen.lake.schemas import is_blob

BATCH_ROWS = 65_536
# What a table's CSV holds unless asked otherwise; captions in the form that trainers expect.
COLUMNS = {"captions": ["url", "caption", "spatial_type"]}
ROWS = {"captions": "spatial_type in ('strong', 'weak')"}


def export_csv(
    lake: Lake, table: str, file: Path, *, where: str | None = None, force: bool = False
) -> int:
    """Write the rows of `table` that satisfy `where` (Lance's SQL) to `file`; how many there are.

    UTF-8, RFC 4180, with a header, by the table's key. The file appears when it is complete; one
    that is there is replaced only with `force`.
    """
    if not lake[table].exists:
        raise QueryError(f"there is no table {table!r}; tables: {', '.join(lake.tables())}")
    if where is not None and (not where.strip() or ";" in where):
        raise QueryError(f"--where {where!r} is no condition; write one, such as p_strong > 0.9")
    if file.exists() and not file.is_file():
        raise InputError(f"{file} is no ordinary file; name one that may be written")
    if file.exists() and not force:
        raise InputError(f"{file} exists; remove it, or replace it with --force")
    dataset = lake[table].dataset()
    columns = COLUMNS.get(table, [c.name for c in dataset.schema if not is_blob(c)])
    condition = ROWS.get(table) if where is None else where
    scratch = scratch_beside(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as sink:
            rows = _write(dataset, columns, condition, sink)
        scratch.replace(file)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(
                f"{file} cannot be written ({error.strerror}); name another file"
            ) from None
        raise QueryError(
            f"--where {condition} does not run ({str(error).splitlines()[0][:200]}); use columns "
            f"of {table}: spatialgen tables {table}"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
    return rows


def _write(
    dataset: lance.LanceDataset, columns: list[str], condition: str | None, sink: BinaryIO
) -> int:
    scanner = dataset.scanner(columns=columns, filter=condition, batch_size=BATCH_ROWS)
    reader, rows = scanner.to_reader(), 0
    sink.write((",".join(columns) + "\n").encode())
    options = pa.csv.WriteOptions(include_header=False)
    with pa.csv.CSVWriter(sink, reader.schema, write_options=options) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
