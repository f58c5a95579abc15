"""Filling the store's memo from published tables, after `dvc pull`."""

import pyarrow as pa

from spatialgen.fetch.reasons import Reason
from spatialgen.fetch.stage import SCHEMA
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.rows.batcher import OUTCOME
from spatialgen.rows.engine import memo_rows, rounds
from spatialgen.rows.stage import RowStage

ROUND_ROWS = 500_000
# What the params made of a picture; whether it fits other params, the table does not say.
SELECTED = (Reason.too_large, Reason.too_small, Reason.too_many_pixels)


def seed_answers(lake: Lake, stage: RowStage) -> int:
    """Give the store the answers in lake/downloads, which must come from `stage`; how many are new.

    Transient failures are left out, for they may succeed here, and so is what params deselected.
    """
    memo = lake.memo(stage.name, stage.schema)
    added = 0
    connection = duck.connect()
    try:
        connection.register("images", lake["images"].dataset())
        connection.register("captions", lake["captions"].dataset())
        connection.register("downloads", lake["downloads"].dataset())
        selected = ", ".join(f"'{reason}'" for reason in SELECTED)
        rows = connection.sql(
            f"""
            select row_id, url, status, reason as error, downloads.* exclude (row_id, status),
                   n_bytes, width, height,
                   null::int as requests, null::float as seconds
            from downloads join captions using (row_id) left join images using (sha256)
            where status <> 'transient' and coalesce(reason, '') not in ({selected})
            order by row_id
            """
        ).to_arrow_table()
    finally:
        connection.close()
    names = [*stage.schema.names, *(field.name for field in OUTCOME)]
    for part in rounds(stage, rows, ROUND_ROWS, names):
        new = memo.pending(part)
        if new.num_rows:
            memo.append(memo_rows(memo, stage, new, _as_answers(new)))
        added += new.num_rows
    return added


def _as_answers(rows: pa.Table) -> pa.Table:
    schema = pa.schema([*SCHEMA, *OUTCOME])
    return rows.select(schema.names).cast(schema)
