"""The keyword prefilter: from CSV shards to the captions that may state a spatial relation.

It is meant to miss nothing cheaply: a position character lets a caption through, and the filter
stage judges what it means there (上海 and 下载 pass here, too).
"""

import heapq
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from spatialgen.errors import InputError
from spatialgen.lake import duck
from spatialgen.lake.ids import h64_sql
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES, REJECTS
from spatialgen.lake.sorting import sort_rows
from spatialgen.params import CandidatesParams, ComputeParams
from spatialgen.records import Reason
from spatialgen.wukong import RECORD_SCHEMA, Shard, find_shards, progress_bar, read_records

REVISION = 1  # raise it when equal CSVs and params would give other rows
RAW_CHARACTERS = 1000  # kept of a rejected record
BATCH_ROWS = 65_536
MAX_STREAMS = 8  # cutting records shares one Python; more streams would wait for each other
MATCHED_SCHEMA = pa.schema(list(RECORD_SCHEMA)[3:])  # without what only rejects need
PROBLEM_SCHEMA = pa.schema(
    [("shard", pa.int32()), ("line", pa.int64()), ("reason", pa.string()), ("raw", pa.string())]
)
REASON_NAMES = pa.array(["", *(reason.name for reason in Reason)])


@dataclass
class Counts:
    """The funnel of one scan: records = rejected + unmatched + duplicates + candidates."""

    records: int = 0
    rejected: int = 0
    unmatched: int = 0
    duplicates: int = 0
    candidates: int = 0


def prefilter(
    lake: Lake, params: CandidatesParams, compute: ComputeParams, *, quiet: bool = False
) -> Counts:
    """Scan all shards once, publish `candidates` and `rejects`, and count what went where."""
    shards = find_shards(Path(params.csv), params.pattern)
    lake.spill.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=lake.spill) as folder,
        progress_bar(shards, quiet=quiet) as bar,
    ):
        streams = min(compute.threads or os.cpu_count() or 1, MAX_STREAMS)
        scans = [
            Scan(part, Path(folder) / f"{number}.arrow", bar)
            for number in range(streams)
            if (part := shards[number::streams])
        ]
        try:
            with match(scans, params.keywords, compute, spill=Path(folder)) as rows:
                matched = _Counted(rows)
                candidates = lake.publish(CANDIDATES, matched).rows
        except Exception:
            for scan in scans:
                if scan.error:  # what a reader raises comes out of DuckDB and Lance as their own
                    raise scan.error from None
            raise
        rejected = lake.publish(REJECTS, _rejects(scans, shards)).rows
    records = sum(scan.records for scan in scans)
    return Counts(
        records=records,
        rejected=rejected,
        unmatched=records - rejected - matched.rows,
        duplicates=matched.rows - candidates,
        candidates=candidates,
    )


class Scan:
    """The records of some shards as one stream, which sets the problems aside by the way.

    Streams are read in parallel, so each has counts and a file of its own.
    """

    def __init__(
        self, shards: list[Shard], aside: Path, bar: "tqdm[NoReturn] | None" = None
    ) -> None:
        self.shards = shards
        self.aside = aside
        self.bar = bar
        self.records = 0
        self.error: InputError | None = None

    def reader(self) -> pa.RecordBatchReader:
        """All records, problems included: these never match, for they have no caption."""
        return pa.RecordBatchReader.from_batches(MATCHED_SCHEMA, self._batches())

    def problems(self) -> Iterator[pa.RecordBatch]:
        """The problems met, in PROBLEM_SCHEMA, by shard and line; from disk, a batch at a time."""
        with pa.memory_map(str(self.aside)) as file:
            reader = pa.ipc.open_file(file)
            yield from map(reader.get_batch, range(reader.num_record_batches))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with pa.ipc.new_file(str(self.aside), PROBLEM_SCHEMA) as aside:
            for batch in self._read():
                self.records += batch.num_rows
                problems = batch.filter(pc.greater(batch["problem"], 0))
                if problems.num_rows:
                    raw = pc.list_element(problems["slices"], 1)
                    columns = [
                        problems["shard"],
                        problems["line"],
                        REASON_NAMES.take(problems["problem"]),
                        pc.utf8_slice_codeunits(raw, 0, RAW_CHARACTERS),
                    ]
                    aside.write_batch(pa.RecordBatch.from_arrays(columns, schema=PROBLEM_SCHEMA))
                yield batch.select(MATCHED_SCHEMA.names)

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from read_records(self.shards, self.bar)
        except InputError as error:
            self.error = error
            raise


@contextmanager
def match(
    scans: list[Scan], keywords: list[str], compute: ComputeParams, spill: Path
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Rows (row_id, url, caption) of the records whose caption holds a keyword, by row_id.

    Every record passes once through all threads; matches are sorted in files under `spill`, so
    memory does not grow with them. Exact duplicates come one after the other.
    """
    connection = duck.connect(memory=compute.memory, threads=compute.threads, spill=spill)
    try:
        for number, scan in enumerate(scans):
            connection.register(f"scan_{number}", scan.reader())
        union = " union all ".join(f"from scan_{number}" for number in range(len(scans)))
        connection.execute(f"create view records as {union}")  # read in parallel
        rows = connection.sql(match_sql(keywords)).to_arrow_reader(BATCH_ROWS)
        yield sort_rows(rows, rows.schema, "url", spill)
    finally:
        connection.close()


def match_sql(keywords: list[str]) -> str:
    """The query behind `match`; undoubling and hashing are done for matching rows alone."""
    pattern = "|".join(map(re.escape, keywords)).replace("'", "''")

    def undoubled(field: str, text: str) -> str:
        return f"""case when {field}_doubled then replace({text}, '""', '"') else {text} end"""

    return f"""
        with row as (
            select {undoubled("url", "slices[2]")} as url,
                   {undoubled("caption", "slices[4]")} as caption
            from records where regexp_matches(slices[4], '{pattern}')
        )
        select {h64_sql("url", "caption")} as row_id, url, caption from row
    """


def _rejects(scans: list[Scan], shards: list[Shard]) -> Iterator[pa.RecordBatch]:
    """What the scans have set aside, by file and line.

    A batch is of one shard, and each scan's batches are in order, so merging is enough.
    """
    names = pa.array([shard.name for shard in shards])

    def place(batch: pa.RecordBatch) -> tuple[int, int]:
        return batch["shard"][0].as_py(), batch["line"][0].as_py()

    for batch in heapq.merge(*(scan.problems() for scan in scans), key=place):
        columns = [names.take(batch["shard"]), *batch.columns[1:]]
        yield pa.RecordBatch.from_arrays(columns, schema=REJECTS.schema)


class _Counted:
    """Batches as they are, and how many rows they had."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.batches = batches
        self.rows = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self.batches:
            self.rows += batch.num_rows
            yield batch
