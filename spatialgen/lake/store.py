"""The store: an append-only memo of row results, so that nothing is paid for twice.

One Lance dataset per stage under `.lake/store`, shared by the workspace and every experiment. Rows
are keyed by what was asked (`h64(fp, key columns)`), so other params simply ask other keys, and
going back to old params finds the old answers. Appending commits atomically: a kill loses the
batch in flight and nothing else. Several processes may append at once.
"""

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import duckdb
import lance
import pyarrow as pa

from spatialgen.lake import duck
from spatialgen.lake.links import scratch_beside
from spatialgen.lake.schemas import MEMO_COLUMNS

logger = logging.getLogger(__name__)

KEEP_VERSIONS = timedelta(hours=1)  # longer than any reader holds an old version open
ADDRESSES_PER_DELETE = 10_000
SETTLED = "status in ('ok', 'permanent')"
BEST_FIRST = "status = 'transient', status = 'permanent', attempt desc, committed desc"


class Dataset:
    """An append-only Lance dataset that exists from its first append on."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema

    def __repr__(self) -> str:
        rows = f"{self.count_rows()} rows" if self.path.exists() else "does not exist yet"
        return f"<{type(self).__name__} {self.path.name}: {rows}>"

    def open(self) -> lance.LanceDataset | None:
        """The dataset at its newest version, or None before the first append."""
        return lance.dataset(str(self.path)) if self.path.exists() else None

    def count_rows(self) -> int:
        """Rows stored, attempts and races included."""
        dataset = self.open()
        return 0 if dataset is None else int(dataset.count_rows())

    def append(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Commit `rows`; they are there for good, or not at all."""
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        ordered = pa.Table.from_arrays(
            [table.column(name) for name in self.schema.names], schema=self.schema
        )
        self.create()
        lance.write_dataset(ordered, str(self.path), mode="append")

    def create(self) -> None:
        """Make the dataset exist, without rows; whoever is first wins.

        It is renamed into place: Lance's own mode="create" would overwrite what another process
        has appended meanwhile.
        """
        if self.path.exists():
            return
        scratch = scratch_beside(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lance.write_dataset(self.schema.empty_table(), str(scratch), schema=self.schema)
        try:
            scratch.rename(self.path)
        except OSError as error:
            shutil.rmtree(scratch)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    def compact(self) -> None:
        """Merge small files and forget old versions; not for blobs, whose bytes it would copy."""
        dataset = self.open()
        if dataset is None:
            return
        try:
            dataset.optimize.compact_files()
            dataset.cleanup_old_versions(older_than=KEEP_VERSIONS)
        except (OSError, RuntimeError) as error:
            if "conflict" not in str(error).lower():
                raise
            logger.info("compaction of %s left to the run that writes to it now", self.path.name)


class Memo(Dataset):
    """The results of one row stage: MEMO_COLUMNS, then the stage's own columns.

    A key may hold several attempts. Its answer is the latest that is no error, else the latest.
    """

    def __init__(self, path: Path, result_schema: pa.Schema) -> None:
        super().__init__(path, pa.schema([*MEMO_COLUMNS, *result_schema]))

    @contextmanager
    def pending(
        self, wanted: pa.Table | lance.LanceDataset, *, attempt: int = 1, spill: Path | None = None
    ) -> Iterator[pa.RecordBatchReader]:
        """The rows of `wanted` (with `key` and `row_id`) that have no answer, in row_id order.

        An `ok` or `permanent` row is an answer; a `transient` one is until `attempt` exceeds its
        own.
        """
        connection = duck.connect(spill=spill)
        try:
            connection.register("wanted", wanted)
            query = f"{self.unanswered(connection, attempt=attempt)} order by row_id"
            yield connection.sql(query).to_arrow_reader(65_536)
        finally:
            connection.close()

    def unanswered(self, connection: duckdb.DuckDBPyConnection, *, attempt: int = 1) -> str:
        """SQL for the rows of the connection's `wanted` that have no answer; see `pending`."""
        done = self.open()
        if done is None:
            return "select wanted.* from wanted"
        connection.register("done", done)
        return f"""
            select wanted.* from wanted anti join (
                select key from done where {SETTLED} or attempt >= {int(attempt)}
            ) using (key)"""

    def best(self, connection: duckdb.DuckDBPyConnection, fp: str) -> str:
        """SQL for all answers under this fingerprint, one row per key: the best."""
        done = self.open()
        connection.register("done", self.schema.empty_table() if done is None else done)
        return f"""
            select * from done where fp = '{fp}'
            qualify row_number() over (partition by key order by {BEST_FIRST}) = 1"""

    @contextmanager
    def answers(
        self, keys: pa.Table | lance.LanceDataset, *, spill: Path | None = None
    ) -> Iterator[pa.RecordBatchReader]:
        """One row per key of `keys` that has an answer or an error, in the memo's schema."""
        connection = duck.connect(spill=spill)
        try:
            done = self.open()
            connection.register("keys", keys)
            connection.register("done", self.schema.empty_table() if done is None else done)
            yield connection.sql(
                f"""
                select done.* from done semi join keys using (key)
                qualify row_number() over (partition by key order by {BEST_FIRST}) = 1
                """
            ).to_arrow_reader(65_536)
        finally:
            connection.close()

    def compact(self, *, spill: Path | None = None) -> None:
        """Also drop what two runs computed at the same time: one row per key and attempt stays."""
        dataset = self.open()
        if dataset is None:
            return
        connection = duck.connect(spill=spill)
        try:
            columns = ["key", "status", "attempt", "committed"]
            rows = dataset.scanner(columns=columns, with_row_address=True).to_reader()
            connection.register("stored", rows)
            repeated = connection.execute(
                f"""
                select _rowaddr from stored
                qualify row_number() over (partition by key, attempt order by {BEST_FIRST}) > 1
                """
            ).fetchall()
        finally:
            connection.close()
        delete_addresses(dataset, [int(row[0]) for row in repeated])
        super().compact()


def delete_addresses(dataset: lance.LanceDataset, addresses: list[int]) -> None:
    """Mark the rows at these Lance row addresses deleted."""
    for start in range(0, len(addresses), ADDRESSES_PER_DELETE):
        listed = ", ".join(map(str, addresses[start : start + ADDRESSES_PER_DELETE]))
        dataset.delete(f"_rowaddr in ({listed})")
