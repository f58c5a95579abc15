"""What a list of URLs would yield, from a small part of it, before the real run.

Published rates are of other lists and other years: 25 to 95 % of URLs still give a picture.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.errors import InputError
from spatialgen.fetch.images import ImageStore
from spatialgen.fetch.publish import downloaded_rounds
from spatialgen.fetch.stage import asked_rows, download_stage
from spatialgen.lake.lake import Lake
from spatialgen.params import Params
from spatialgen.rows.batcher import OK
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.source import Selection, scan_rows
from spatialgen.rows.streaming import Streaming
from spatialgen.statistics import Figure, wilson

ALL = "all hosts"


@dataclass(frozen=True)
class HostYield:
    """What the sampled URLs of one host brought."""

    host: str
    share: Figure  # of URLs with a picture that fits the params
    reason: str | None  # the commonest failure


def probe(lake: Lake, params: Params, sample_rows: int) -> list[HostYield]:
    """Download the first `sample_rows` rows: what each host yielded (most rows first), and ALL.

    Row ids are hashes, so the first rows are a random draw. What is fetched stays in the store, and
    the real run does not fetch it again.
    """
    stage = download_stage(params.download, params.compute)
    sample = _first_rows(asked_rows(lake, params.download), sample_rows)
    if not sample.num_rows:
        raise InputError(
            f"no caption is one of download.take = {params.download.take}; widen it, or judge "
            "more captions"
        )
    answer_rows(lake, stage, sample, Streaming(), attachments=ImageStore(lake), label="probe")
    (rows,) = downloaded_rounds(lake, stage, sample, params.download)
    hosts = _most_frequent(rows["host"])
    found = [_yield(host, rows.filter(pc.equal(rows["host"], host))) for host in hosts]
    return [*found, _yield(ALL, rows)]


def _first_rows(asked: Selection, count: int) -> pa.Table:
    columns = ["row_id", "url"]
    held: list[pa.RecordBatch] = []
    for batch in scan_rows(asked, columns, count):
        held.append(batch)
        if sum(map(len, held)) >= count:
            break
    if not held:
        return asked.dataset.schema.empty_table().select(columns)
    return pa.Table.from_batches(held).slice(0, count)


def _yield(host: str, rows: pa.Table) -> HostYield:
    ok = pc.sum(pc.equal(rows["status"], OK)).as_py() or 0
    reasons = _most_frequent(rows["reason"].drop_null())
    return HostYield(host, wilson(ok, rows.num_rows), reasons[0] if reasons else None)


def _most_frequent(column: pa.ChunkedArray) -> list[str]:
    """Its values, the most frequent first."""
    counts = pa.table({"value": column}).group_by("value").aggregate([("value", "count")])
    order = [("value_count", "descending"), ("value", "ascending")]
    values: list[str] = counts.sort_by(order)["value"].to_pylist()
    return values
