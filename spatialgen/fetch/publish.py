"""From what became of the URLs to lake/downloads and lake/images. Here params select."""

from collections.abc import Iterator

import pyarrow as pa

from spatialgen.errors import LakeError
from spatialgen.fetch.reasons import Reason
from spatialgen.fetch.stage import asked_rows
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import DOWNLOADS, IMAGES
from spatialgen.params import DownloadParams
from spatialgen.rows.batcher import OK, PERMANENT, TRANSIENT
from spatialgen.rows.engine import rounds
from spatialgen.rows.source import Source
from spatialgen.rows.stage import RowStage

ROUND_ROWS = 500_000  # in memory at once, with their URLs
BATCH_ROWS = 65_536


def publish_downloads(lake: Lake, stage: RowStage, params: DownloadParams) -> Manifest:
    """Publish lake/downloads: one row per asked row, from the store."""
    rows = downloaded_rounds(lake, stage, asked_rows(lake, params), params)
    return lake.publish(DOWNLOADS, _as_declared(rows))


def downloaded_rounds(
    lake: Lake, stage: RowStage, asked: Source, params: DownloadParams
) -> Iterator[pa.Table]:
    """What became of the rows of `asked`, a stretch at a time, in row_id order."""
    memo = lake.memo(stage.name, stage.schema)
    connection = duck.connect()
    try:
        for rows in rounds(stage, asked, ROUND_ROWS):
            connection.register("asked", rows)
            connection.register("answers", memo.answers(rows["key"]))
            published = connection.sql(_published_sql(params)).to_arrow_table()
            if published.num_rows != rows.num_rows:
                raise LakeError(
                    f"the store answered {published.num_rows} of {rows.num_rows} rows: somebody "
                    'removed rows from it meanwhile; run "dvc repro download" again'
                )
            yield published
    finally:
        connection.close()


def _as_declared(tables: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Batches in the published schema, which declares what is never null."""
    for table in tables:
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=DOWNLOADS.schema)


def _published_sql(params: DownloadParams) -> str:
    """What is published of `asked` and its `answers`: pictures that do not fit become failures."""
    return f"""
        select row_id,
               case when reason is null then sha256 end as sha256,
               case when reason is null then '{OK}'
                    when reason is distinct from found then '{PERMANENT}'
                    else status end as status,
               reason, http_status, host
        from (
            select asked.row_id, answers.* exclude (row_id, reason),
                   answers.reason as found,
                   case when n_bytes > {params.max_bytes} then '{Reason.too_large}'
                        when answers.reason is not null then answers.reason
                        when least(width, height) < {params.min_side} then '{Reason.too_small}'
                        when width::bigint * height > {params.max_pixels}
                            then '{Reason.too_many_pixels}' end as reason
            from asked join answers using (key)
        ) order by row_id"""


def publish_images(lake: Lake) -> Manifest:
    """Publish lake/images: the pictures that lake/downloads names, from the store's own files."""
    names = lake["downloads"].dataset().to_table(columns=["sha256"], filter=f"status = '{OK}'")
    wanted = names.group_by("sha256").aggregate([])
    store = lake.stored(IMAGES.name, IMAGES.schema)
    store.create()
    images = store.open()
    assert images is not None
    manifest = lake.publish_blobs(IMAGES, images, wanted)
    if manifest.rows != wanted.num_rows:
        raise LakeError(
            f"{store.path} holds {manifest.rows} of the {wanted.num_rows} pictures that were "
            f"downloaded: somebody removed pictures from it; remove {store.path.parent}/"
            'download.lance, too, and run "dvc repro download" again'
        )
    return manifest


def counts(lake: Lake) -> dict[str, object]:
    """Rows by status and reason, pictures and their bytes, of the published tables."""
    connection = duck.connect()
    try:
        connection.register("downloads", lake["downloads"].dataset())
        connection.register("images", lake["images"].dataset())
        by_status = dict(
            connection.execute("select status, count(*) from downloads group by 1").fetchall()
        )
        reasons = connection.execute(
            "select reason, count(*) from downloads where reason is not null group by 1 order by 1"
        ).fetchall()
        ((pictures, n_bytes),) = connection.execute(
            "select count(*), coalesce(sum(n_bytes), 0)::bigint from images"
        ).fetchall()
    finally:
        connection.close()
    statuses = {name: by_status.get(name, 0) for name in (OK, PERMANENT, TRANSIENT)}
    rows = sum(statuses.values())
    return {
        "rows": rows,
        **statuses,
        "images": pictures,
        "bytes": n_bytes,
        "reasons": dict(reasons),
    }
