"""Which rows train, validate and test: by content, so that no caption or picture is on both sides.

Rows with an equal caption, or an equal picture or perceptual hash, belong to one group. Every
caption and every picture hash has a bucket of its own, from its md5 and the salt; a group takes the
highest bucket of its members, test before val before train. Nothing else decides: not the order of
rows, not an earlier split. So more rows, or a link that they make, move a row towards test and
never away from it, and what a model was tested on stays unseen.

A row has two members, so a bucket is drawn with the chance that makes a row on its own test with
probability `test`. Hashes that more than `max_group` rows share (blank pictures, stock captions) do
not link, for a few of them would join everything; their buckets still count for their own rows. A
hash that grows beyond `max_group` no longer links, which is the one way back.
"""

import math
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import SPLITS
from spatialgen.params import SplitParams
from spatialgen.rows.batcher import OK

BATCH_ROWS = 65_536
SPLIT = ("train", "val", "test")  # lowest to highest


def publish_splits(lake: Lake, params: SplitParams, memory: str = duck.MEMORY) -> Manifest:
    """Publish lake/splits: every row with a picture."""
    lake.spill.mkdir(parents=True, exist_ok=True)
    connection = duck.connect(memory=memory, spill=lake.spill)
    try:
        for name in ("captions", "downloads", "images"):
            connection.register(name, lake[name].dataset())
        connection.execute(
            f"""
            create table row as
            select row_id, caption, coalesce(phash::varchar, sha256) as picture
            from downloads join captions using (row_id) join images using (sha256)
            where status = '{OK}'
            """
        )
        return lake.publish(SPLITS, _batches(connection, params))
    finally:
        connection.close()


def _batches(
    connection: duckdb.DuckDBPyConnection, params: SplitParams
) -> Iterator[pa.RecordBatch]:
    split_rows(connection, params)
    reader = connection.sql(
        "select row_id, group_id, split from split_row order by row_id"
    ).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        yield pa.RecordBatch.from_arrays(batch.columns, schema=SPLITS.schema)


def split_rows(connection: duckdb.DuckDBPyConnection, params: SplitParams) -> None:
    """From the connection's `row` (row_id, caption, picture) make `split_row` (row_id, group_id,
    split)."""
    connection.execute(
        """
        create or replace table member as
        select row_id, 'caption:' || caption as name from row
        union all select row_id, 'picture:' || picture from row
        """
    )
    connection.execute(
        f"""
        create or replace table hash as
        select name, {_rank(params)} as rank, count(*) <= {int(params.max_group)} as links
        from member group by name
        """,
        {"salt": params.salt},
    )
    connection.execute(
        """
        create or replace table link as
        select row_id, md5_number_lower(name) as node from member join hash using (name) where links
        """
    )
    connection.execute(
        "create or replace table grouped as select row_id, row_id as group_id from row"
    )
    while _join_groups(connection):
        pass
    names = " ".join(f"when {rank} then '{name}'" for rank, name in enumerate(SPLIT))
    connection.execute(
        f"""
        create or replace table split_row as
        with ranked as (
            select group_id, max(rank) as rank
            from grouped join member using (row_id) join hash using (name) group by group_id
        )
        select row_id, group_id, case rank {names} end as split
        from grouped join ranked using (group_id)
        """
    )


def _rank(params: SplitParams) -> str:
    """0 to 2 of a hash: the chance that neither of a row's two members is test is 1 - test."""
    test = 1 - math.sqrt(1 - params.test)
    val = 1 - math.sqrt(1 - params.test - params.val)
    draw = "md5_number_lower($salt || chr(31) || name) / 18446744073709551616.0"
    return f"case when {draw} < {test!r} then 2 when {draw} < {val!r} then 1 else 0 end"


def _join_groups(connection: duckdb.DuckDBPyConnection) -> bool:
    """Give each group the lowest one that it is linked to, then the one that the first row of that
    has meanwhile; whether anything changed. What is reached doubles, so long chains take few
    rounds, in whatever order their rows are."""
    connection.execute(
        """
        create or replace table joined as
        with low as (
            select node, min(group_id) as low from grouped join link using (row_id) group by node
        ), best as (
            select group_id, min(low) as low
            from grouped join link using (row_id) join low using (node) group by group_id
        )
        select row_id, least(group_id, coalesce(low, group_id)) as group_id
        from grouped left join best using (group_id)
        """
    )
    connection.execute(
        """
        create or replace table jumped as
        select joined.row_id, least(joined.group_id, first.group_id) as group_id
        from joined join joined as first on first.row_id = joined.group_id
        """
    )
    ((changed,),) = connection.execute(
        """
        select count(*) from grouped join jumped using (row_id)
        where grouped.group_id <> jumped.group_id
        """
    ).fetchall()
    connection.execute("drop table grouped")
    connection.execute("alter table jumped rename to grouped")
    return bool(changed)
