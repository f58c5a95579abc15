"""The keyword prefilter: from CSV shards to the captions that may state a spatial relation.

It is meant to miss nothing cheaply: a position character lets a caption through, and the filter
stage judges what it means there (上海 and 下载 pass here, too).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from spatialgen.lake import duck
from spatialgen.lake.ids import h64_sql
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES, REJECTS
from spatialgen.params import CandidatesParams, ComputeParams
from spatialgen.records import Reason
from spatialgen.wukong import RECORD_SCHEMA, find_shards, read_records

REVISION = 1  # raise it when equal CSVs and params would give other rows
RAW_CHARACTERS = 1000  # kept of a rejected record
BATCH_ROWS = 65_536
SPACES = r"[\s\x{3000}]*"  # ASCII white space and the full-width space


@dataclass
class Counts:
    """The funnel of one scan: records = rejected + unmatched + duplicates + candidates."""

    records: int = 0
    rejected: int = 0
    unmatched: int = 0
    duplicates: int = 0
    candidates: int = 0


def prefilter(
    lake: Lake, params: CandidatesParams, compute: ComputeParams, *, progress: bool = True
) -> Counts:
    """Scan all shards once, publish `candidates` and `rejects`, and count what went where."""
    shards = find_shards(Path(params.csv), params.pattern)
    counts = Counts()

    def records() -> Iterator[pa.RecordBatch]:
        for batch in read_records(shards, progress=progress):
            counts.records += batch.num_rows
            yield batch

    with _scanned(lake, compute, records(), params.keywords) as connection:
        connection.register("shards", pa.table({"name": [shard.name for shard in shards]}))
        ((matched, counts.rejected),) = connection.execute(
            "select count(*) filter (reason is null), count(reason) from scanned"
        ).fetchall()
        counts.unmatched = counts.records - matched - counts.rejected
        rows = connection.sql(
            "select row_id, url, caption from scanned where reason is null order by row_id, url"
        )
        counts.candidates = lake.publish(CANDIDATES, rows.to_arrow_reader(BATCH_ROWS)).rows
        counts.duplicates = matched - counts.candidates
        rejects = connection.sql(
            """
            select name as file, line, reason, raw
            from scanned join (select name, row_number() over () - 1 as shard from shards)
            using (shard) where reason is not null order by file, line
            """
        )
        lake.publish(REJECTS, rejects.to_arrow_reader(BATCH_ROWS))
    return counts


def as_metrics(counts: Counts) -> dict[str, int]:
    """The counts as metrics/candidates.json holds them."""
    return asdict(counts)


@contextmanager
def _scanned(
    lake: Lake, compute: ComputeParams, records: Iterator[pa.RecordBatch], keywords: list[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB whose table `scanned` holds the matching rows and the rejected records.

    Every record passes once through all threads; only what is kept takes memory, and what exceeds
    `compute.memory` goes to disk.
    """
    lake.spill.mkdir(parents=True, exist_ok=True)
    connection = duck.connect(memory=compute.memory, threads=compute.threads, spill=lake.spill)
    try:
        connection.register("records", pa.RecordBatchReader.from_batches(RECORD_SCHEMA, records))
        connection.execute("create temp table scanned as " + scan_sql(keywords))
        connection.unregister("records")
        yield connection
    finally:
        connection.close()


def scan_sql(keywords: list[str]) -> str:
    """The query over `records` that keeps captions with a keyword, and records without a row.

    Cheap tests come first: simple records need no look at their quoting, and unquoting and hashing
    are done for kept rows alone.
    """
    pattern = "|".join(map(re.escape, keywords)).replace("'", "''")

    def malformed(field: str) -> str:
        return f"""(starts_with({field}, '"')
                    and not regexp_full_match({field}, '"(?:[^"]|"")*"'))"""

    def extra(field: str) -> str:
        return f"""(not starts_with({field}, '"') and contains({field}, ','))"""

    def blank(field: str) -> str:
        return f"""regexp_full_match({field}, '{SPACES}|"{SPACES}"')"""

    def unquoted(field: str) -> str:
        return f"""case when starts_with({field}, '"')
                        then replace({field}[2:-2], '""', '"') else {field} end"""

    names = ", ".join(f"'{reason.name}'" for reason in Reason)
    return f"""
        with fields as (
            select *, slices[1] as raw_url, slices[3] as raw_caption from records
        ), judged as (
            select *,
                case
                    when problem > 0 then [{names}][problem]
                    when simple then null
                    when {malformed("raw_url")} or {malformed("raw_caption")}
                        then '{Reason.malformed_quote.name}'
                    when {extra("raw_url")} or {extra("raw_caption")}
                        then '{Reason.extra_column.name}'
                    when {blank("raw_url")} then '{Reason.empty_url.name}'
                    when {blank("raw_caption")} then '{Reason.empty_caption.name}'
                end as reason
            from fields
        ), kept as (
            select shard, line, reason,
                   case when reason is null then {unquoted("raw_url")} end as url,
                   case when reason is null then {unquoted("raw_caption")} end as caption,
                   case when reason is not null
                        then left(raw_url || slices[2] || raw_caption, {RAW_CHARACTERS}) end as raw
            from judged
            where reason is not null or regexp_matches(raw_caption, '{pattern}')
        )
        select {h64_sql("url", "caption")} as row_id, url, caption, shard, line, reason, raw
        from kept
    """
