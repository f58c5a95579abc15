"""What `spatialgen tables`, `status` and `estimate` print."""

import math
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from tqdm import tqdm

from spatialgen.errors import LakeError
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import is_blob
from spatialgen.rows.estimate import Estimate
from spatialgen.rows.progress import read_statuses

if TYPE_CHECKING:  # it loads what only downloads need
    from spatialgen.fetch.probe import HostYield

RUNS = pa.schema(
    [
        pa.field("stage", pa.string()),
        pa.field("state", pa.string()),
        pa.field("done", pa.int64()),
        pa.field("left", pa.int64()),
        pa.field("rows/s", pa.float64()),
        pa.field("ETA", pa.string()),
        pa.field("failed", pa.int64()),
        pa.field("reused", pa.int64()),
        pa.field("devices", pa.string()),
        pa.field("started", pa.timestamp("s", tz="UTC")),
        pa.field("process", pa.string()),
    ]
)

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


def list_runs(lake: Lake) -> pa.Table:
    """One row per run of a row stage that the store knows of, whoever started it."""
    rows = [
        {
            "stage": run.stage,
            "state": run.state,
            "done": run.done,
            "left": run.left,
            "rows/s": run.rows_per_s,
            "ETA": None if run.eta_s is None else tqdm.format_interval(run.eta_s),
            "failed": run.failed,
            "reused": run.reused,
            "devices": ", ".join(
                f"{name}: {rows} rows, {run.busy.get(name, 0):.0%} busy"
                for name, rows in run.device_rows.items()
            ),
            "started": run.started,
            "process": f"{run.host}:{run.pid}",
        }
        for run in read_statuses(lake.store_root)
    ]
    return pa.Table.from_pylist(rows, schema=RUNS)


def yields(found: "list[HostYield]", target: int) -> pa.Table:
    """One row per host: what `spatialgen probe` found, and captions for `target` pictures."""
    rows = []
    for host in found:
        share, lo, hi = host.share.value, host.share.lo, host.share.hi
        rows.append(
            {
                "host": host.host,
                "URLs": host.share.n,
                "share": share,
                "lo": lo,
                "hi": hi,
                "commonest failure": host.reason,
                f"captions for {target}": math.ceil(target / share) if share else None,
                "at least": math.ceil(target / hi) if hi else None,
                "at most": math.ceil(target / lo) if lo else None,
            }
        )
    return pa.Table.from_pylist(rows)


def forecast(estimate: Estimate, hour_price: float | None) -> pa.Table:
    """One row: what `spatialgen estimate` found."""
    row = {
        "rows": estimate.rows,
        "reused": estimate.reused,
        "to do": estimate.to_do,
        "rows/s": estimate.rows_per_s,
        "time": str(timedelta(seconds=round(estimate.seconds))),
        "device hours": estimate.seconds / 3600,
    }
    if hour_price is not None:
        row["price"] = estimate.cost(hour_price)
    return pa.Table.from_pylist([row])
