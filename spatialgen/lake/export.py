"""Tables as CSV files, for those who have no lake."""

from pathlib import Path

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
    if file.exists() and not force:
        raise InputError(f"{file} exists; remove it, or replace it with --force")
    dataset = lake[table].dataset()
    columns = COLUMNS.get(table, [c.name for c in dataset.schema if not is_blob(c)])
    try:
        reader = dataset.scanner(
            columns=columns, filter=where or ROWS.get(table), batch_size=BATCH_ROWS
        ).to_reader()
    except (OSError, ValueError) as error:
        raise QueryError(
            f"--where {where} does not run ({str(error).splitlines()[0][:200]}); use columns of "
            f"{table}: spatialgen tables {table}"
        ) from None
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_beside(file)
    rows = 0
    try:
        with scratch.open("wb") as sink:
            sink.write((",".join(columns) + "\n").encode())
            options = pa.csv.WriteOptions(include_header=False)
            with pa.csv.CSVWriter(sink, reader.schema, write_options=options) as writer:
                for batch in reader:
                    writer.write_batch(batch)
                    rows += batch.num_rows
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)
    return rows
