"""What `spatialgen tables` prints."""

import pyarrow as pa

from spatialgen.errors import LakeError
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import is_blob

LISTING = pa.schema(
    [
        pa.field("table", pa.string()),
        pa.field("rows", pa.int64()),
        pa.field("version", pa.int64()),
        pa.field("MB", pa.float64()),
        pa.field("digest", pa.string()),
        pa.field("state", pa.string()),
    ]
)


def list_tables(lake: Lake) -> pa.Table:
    """One row per table of the lake; `state` says what is wrong with it, if anything."""
    rows = []
    for name in lake.tables():
        table = lake[name]
        row: dict[str, object] = {"table": name, "state": "ok"}
        try:
            row |= {"rows": table.count_rows(), "digest": table.manifest.digest[:12]}
            row |= {"version": table.dataset().version, "MB": table.n_bytes() / 1e6}
        except LakeError as error:
            row["state"] = str(error)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=LISTING)


def columns_of(lake: Lake, name: str) -> pa.Table:
    """One row per column of a table, with the comment that its schema declares."""
    if not lake[name].exists:
        known = ", ".join(lake.tables()) or "none yet: run dvc repro"
        raise LakeError(f"there is no table {name!r}; tables: {known}")
    columns = [
        {
            "column": column.name,
            "type": "blob" if is_blob(column) else str(column.type),
            "null": "yes" if column.nullable else "no",
            "meaning": (column.metadata or {}).get(b"comment", b"").decode(),
        }
        for column in lake[name].dataset().schema
    ]
    return pa.Table.from_pylist(columns)
