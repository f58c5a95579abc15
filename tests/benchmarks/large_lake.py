"""A lake of any size to query: every table, in the proportions of a real run, drawn by DuckDB.

Captions have Wukong's length (some 20 characters), URLs that of its signed ones (some 150); one row
in five shares its caption with another. A tenth is spatial; of these, nine in ten have a picture
(some of them the same one), and every picture has two to four boxes and one or two relations.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import as_blobs
from spatialgen.lake.schemas import (
    BOXES,
    CANDIDATES,
    CAPTIONS,
    DOWNLOADS,
    IMAGES,
    REJECTS,
    RUNS_SCHEMA,
    SPLITS,
    TableSpec,
)
from spatialgen.metrics import write_metrics

BATCH = 100_000
MACROS = """
create macro pick(words, draw) as words[1 + (draw % len(words))::int];
create macro unit(draw) as (draw >> 11)::double / 9007199254740992;
create macro name(draw) as
    chr(20000 + (60 * unit(draw)^3)::int) || chr(21000 + (50 * unit(hash(draw)))::int);
create macro side(draw) as (0.05 + 0.45 * unit(hash(draw)))::float;
create macro signed(draw) as (draw::hugeint - 9223372036854775808)::bigint;
"""
JUDGED = """
create view judged as
select
    signed(n::hugeint * (18446744073709551616 // {rows})) as row_id,
    hash(n) as h,
    hash(if(n % 10 < 2, n - n % 10, n)) as c,
    'http://gimg2.sample.test/image_search/src=http%3A%2F%2Fa.sample.test%2Fphoto%2F'
        || md5(n::varchar) || '.jpg&app=2002&fmt=jpeg?sec=16315&t=' || md5(h::varchar) as url,
    pick(['一只小猫', '两个孩子', '高清图片', '新款连衣裙', '装修效果图', '红色的汽车', '风景'], c)
        || pick(['在', '和', '与', '，'], c // 10)
        || pick(['左边的大树', '右侧是房子', '桌子上', '草地上', '免费下载', '中国制造', '海里的船',
                 '门前的花', '山后', '画面中央', '上海举行', '手机上市', '窗户旁边'], c // 40)
        || '第' || (c // 1000 % 1000000) || '张高清大图' as caption,
    case when h % 100 < 6 then 'strong' when h % 100 < 10 then 'weak'
         when h % 5000 <> 99 then 'none' end as spatial_type,
    unit(hash(c)) as p
from range({rows}) as t(n)
"""
FETCHED = """
create table fetched as
select
    row_id, hash(h) as h, row_number() over (order by row_id)::bigint as place,
    h // 100 % 10 < 9 as ok,
    if(h // 1000 % 200 = 0, 'removed' || (h // 200000 % 9), row_id::varchar) as file
from judged where h % 100 < 10
"""
ROWS: list[tuple[TableSpec, str]] = [
    (CANDIDATES, "select row_id, url, caption from judged"),
    (
        CAPTIONS,
        """
        select
            row_id, url, caption, spatial_type,
            case spatial_type when 'strong' then 0.6 when 'weak' then 0.1 else 0.0 end + p / 8
                as p_strong,
            case spatial_type when 'strong' then 0.1 when 'weak' then 0.6 else 0.0 end + p / 8
                as p_weak,
            1 - p_strong - p_weak as p_none,
            if(spatial_type is null, null, 'judge') as tier,
            if(spatial_type is null, 'too_long: 700 tokens', null) as error
        from judged
        """,
    ),
    (
        REJECTS,
        """
        select
            'wukong_100m_' || lpad((n // 100000)::varchar, 4, '0') || '.csv' as file,
            n % 100000 + 2 as line,
            pick(['empty_url', 'extra_column', 'invalid_utf8', 'missing_column'], n) as reason,
            '"http://gimg2.sample.test/image_search/' || n || '","草地上的狗' as raw
        from range({rows}) as t(n)
        """,
    ),
    (
        DOWNLOADS,
        """
        select
            row_id, if(ok, sha256(file), null) as sha256,
            case when ok then 'ok' when h % 3 = 0 then 'transient' else 'permanent' end as status,
            if(ok, null, pick(['gone', 'forbidden', 'timeout', 'not_image'], h)) as reason,
            if(ok, 200, 404) as http_status,
            'img' || (20000 * unit(h)^4)::int || '.sample.test' as host
        from fetched order by row_id
        """,
    ),
    (
        BOXES,
        """
        select
            row_id, sha256(file) as sha256,
            list_transform(range(2 + place % 3), lambda i: {{
                'name': name(hash(h + i)),
                'bbox': [side(h + i), side(h + i + 10), side(h + i) + side(h + i + 20),
                         side(h + i + 10) + side(h + i + 30)]::float[4],
                'self_iou': null::float
            }}) as objects,
            if(place % 9 = 0, [name(hash(h + 9))], []) as absent,
            list_transform(range(1 + place % 2), lambda i: {{
                'relation': pick(['left', 'right', 'above', 'below', 'on', 'in'], h // 9 + i),
                'subject': name(hash(h + i)),
                'objects': [name(hash(h + i + 1))],
                'agrees': if(place % 50 = 7, null, place % 20 <> 0)
            }}) as relations,
            if(place % 50 = 7, null, place % 20 <> 0) as spatial_agree,
            null::float as self_iou,
            if(place % 30 = 0, ['duplicate'], []) as problems,
            [{{'view': 'plain', 'family': 'qwen2_vl', 'text': repeat('小猫(120,340),(560,780)', 3),
               'finished': true, 'seen_width': 640, 'seen_height': 480}}] as raw,
            null::varchar as error
        from fetched where ok order by row_id
        """,
    ),
    (
        SPLITS,
        """
        select
            row_id,
            if(place % 9 = 1, lag(row_id, 1, row_id) over (order by row_id), row_id) as group_id,
            case when h % 20 < 17 then 'train' when h % 20 = 17 then 'val' else 'test' end as split
        from fetched where ok order by row_id
        """,
    ),
]
PICTURES = """
select
    sha256(file) as sha256, ''::blob as image,
    300 + h % 900 as width, 300 + h // 900 % 600 as height,
    pick(['jpeg', 'jpeg', 'jpeg', 'png', 'webp'], h) as format,
    10000 + h % 90000 as n_bytes,
    signed(xor(hash(place - (place % 50 = 1)::int), (place % 50 = 1)::ubigint)) as phash
from (select file, min(h) as h, min(place) as place from fetched where ok group by file)
"""
RUNS = """
select
    pick(['candidates', 'filter', 'download', 'annotate'], n::ubigint) as stage, 'fp' as fp,
    timestamptz '2026-01-01' + to_minutes(n) as started, 100.0 as seconds,
    {rows} as rows_total, {rows} // 2 as rows_reused, {rows} // 2 as rows_computed,
    10 as rows_failed, {rows} / 200.0 as rows_per_s, 80.0 as device_s, 4.0 as waited_s
from range(1000) as t(n)
"""


def make_lake(folder: Path, rows: int) -> Lake:
    """A lake in `folder` with `rows` candidates, judged captions and rejects, and what follows."""
    lake = Lake(folder / "lake", store=folder / ".lake")
    connection = duckdb.connect()
    try:
        for statement in (MACROS, JUDGED, FETCHED):
            connection.execute(statement.format(rows=rows))
        for spec, query in ROWS:
            lake.publish(spec, _batches(connection, query.format(rows=rows), spec.schema))
        _publish_pictures(lake, connection)
        (runs,) = _batches(connection, RUNS.format(rows=rows), RUNS_SCHEMA)
        lake.stored("runs", RUNS_SCHEMA).append(pa.Table.from_batches([runs]))
    finally:
        connection.close()
    _write_metrics(folder / "metrics", rows)
    return lake


def _batches(
    connection: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for batch in connection.sql(query).to_arrow_reader(BATCH):
        yield batch.cast(schema)


def _publish_pictures(lake: Lake, connection: duckdb.DuckDBPyConnection) -> None:
    """The pictures' bytes are empty: SQL never reads them."""
    images = lake.stored("images", IMAGES.schema)
    for batch in connection.sql(PICTURES).to_arrow_reader(BATCH):
        place = IMAGES.schema.get_field_index("image")
        blobs = as_blobs(batch.column("image").cast(pa.large_binary()))
        rest = pa.schema([field for field in IMAGES.schema if field.name != "image"])
        columns = batch.drop_columns(["image"]).cast(rest).columns
        columns.insert(place, blobs)
        images.append(pa.Table.from_arrays(columns, schema=IMAGES.schema))
    store = images.open()
    assert store
    lake.publish_blobs(IMAGES, store, store.to_table(columns=["sha256"]))


def _write_metrics(folder: Path, rows: int) -> None:
    records = 3 * rows
    write_metrics(
        "candidates",
        {
            "records": records,
            "rejected": rows,
            "unmatched": rows // 2,
            "duplicates": rows // 2,
            "candidates": rows,
        },
        folder,
    )
    write_metrics("filter", {"strong": rows * 6 // 100, "weak": rows * 4 // 100}, folder)
    write_metrics("download", {"rows": rows // 10, "ok": rows * 9 // 100}, folder)
