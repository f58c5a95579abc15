"""The store: an append-only memo of row results, so that nothing is paid for twice.

One Lance dataset per stage under `.lake/store`, shared by the workspace and every experiment. Rows
are keyed by what was asked (`h64(fp, key columns)`), so other params simply ask other keys, and
going back to old params finds the old answers. Appending commits atomically: a kill loses the
batch in flight and nothing else. Several processes may append at once.
"""

import errno
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.lake import duck
from spatialgen.lake.links import scratch_beside
from spatialgen.lake.schemas import MEMO_COLUMNS

logger = logging.getLogger(__name__)

KEEP_VERSIONS = timedelta(hours=1)  # longer than any reader holds an old version open
ADDRESSES_PER_DELETE = 10_000
SLAB_ROWS = 5_000_000  # keys in memory at once: 40 MB
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
        self._widen()
        lance.write_dataset(ordered, str(self.path), mode="append")

    def _widen(self) -> None:
        """Give a dataset of an earlier release the columns that it lacks, without values."""
        dataset = lance.dataset(str(self.path))
        lacking = [field for field in self.schema if field.name not in dataset.schema.names]
        if lacking:
            dataset.add_columns(pa.schema(lacking))

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

    def pending(self, wanted: pa.Table, *, attempt: int = 1, stale: str = "false") -> pa.Table:
        """The rows of `wanted` (with `key` and `row_id`) that have no answer, equal keys once, in
        row_id order. `wanted` fits memory; the store need not.

        An `ok` or `permanent` row is an answer; a `transient` one is until `attempt` exceeds its
        own. None is where it is `stale`: SQL over the memo's columns.
        """
        needed = {"key", "status", "attempt", *re.findall(r"\w+", stale)}
        columns = [name for name in self.schema.names if name in needed]
        stored = self._rows_of(wanted["key"], columns)
        connection = duck.connect()
        try:
            connection.register("stored", stored)
            settled = connection.sql(
                f"select key from stored where {_settled(attempt, stale)}"
            ).to_arrow_table()
        finally:
            connection.close()
        answered = pc.is_in(wanted["key"], value_set=settled["key"])
        open_rows = wanted.filter(pc.invert(answered)).sort_by("row_id")
        _, first = np.unique(open_rows["key"].to_numpy(), return_index=True)
        return open_rows.take(pa.array(np.sort(first)))

    def answers(self, keys: pa.ChunkedArray) -> pa.Table:
        """One row per key of `keys` that has an answer or an error, in the memo's schema.

        `keys` fit memory; the store need not.
        """
        stored = self._rows_of(keys, self.schema.names)
        if pc.count_distinct(stored["key"]).as_py() == stored.num_rows:
            return stored
        connection = duck.connect()
        try:
            connection.register("stored", stored)
            return connection.sql(
                f"""
                from stored
                qualify row_number() over (partition by key order by {BEST_FIRST}) = 1
                """
            ).to_arrow_table()
        finally:
            connection.close()

    def unanswered(
        self, connection: duckdb.DuckDBPyConnection, *, attempt: int = 1, stale: str = "false"
    ) -> str:
        """SQL for the rows of the connection's `wanted` that have no answer; see `pending`."""
        done = self.open()
        if done is None:
            return "select wanted.* from wanted"
        connection.register("done", done)
        return f"""
            select wanted.* from wanted anti join (
                select key from done where {_settled(attempt, stale)}
            ) using (key)"""

    def _rows_of(self, keys: pa.ChunkedArray, columns: list[str]) -> pa.Table:
        """Every stored row with one of these keys: all keys are read once, then those rows."""
        dataset = self.open()
        if dataset is None:
            return pa.schema([self.schema.field(name) for name in columns]).empty_table()
        places, offset = [], 0
        # Each look-up has a cost of its own, so it is made for many keys at once.
        for slab in gather(dataset.scanner(columns=["key"]).to_batches(), SLAB_ROWS):
            held = pc.is_in(slab["key"], value_set=keys).to_numpy()
            places.append(np.nonzero(held)[0] + offset)
            offset += slab.num_rows
        found = np.concatenate(places) if places else np.zeros(0, np.int64)
        return dataset.take(pa.array(found, pa.uint64()), columns=columns)

    def compact(self) -> None:
        """Also drop what two runs computed at the same time: one row per key and attempt stays."""
        dataset = self.open()
        if dataset is None:
            return
        delete_addresses(dataset, self._repeated(dataset))
        super().compact()

    def _repeated(self, dataset: lance.LanceDataset) -> list[int]:
        """Addresses of the rows that a better row of equal key and attempt outlives."""
        repeated = self._repeated_keys(dataset)
        if not len(repeated):
            return []
        scanner = dataset.scanner(
            columns=["key", "status", "attempt", "committed"], with_row_address=True
        )
        held = [
            batch.filter(pc.is_in(batch["key"], value_set=repeated))
            for batch in scanner.to_batches()
        ]
        connection = duck.connect()
        try:
            connection.register("stored", pa.Table.from_batches(held))
            rows = connection.execute(
                f"""
                select _rowaddr from stored
                qualify row_number() over (partition by key, attempt order by {BEST_FIRST}) > 1
                """
            ).fetchall()
        finally:
            connection.close()
        return [int(row[0]) for row in rows]

    def _repeated_keys(self, dataset: lance.LanceDataset) -> pa.Array:
        """Keys with several rows. Keys are hashes, so a part of their range is a part of them, and
        the parts are looked at one after the other.
        """
        parts = max(1, dataset.count_rows() // SLAB_ROWS)
        width = 2**64 // parts
        repeated = []
        for part in range(parts):
            low, high = part * width - 2**63, (part + 1) * width - 2**63
            held = []
            for batch in dataset.scanner(columns=["key"]).to_batches():
                keys = batch["key"].to_numpy()
                last = part == parts - 1
                held.append(keys[(keys >= low) & ((keys < high) | last)])
            ordered = np.sort(np.concatenate(held)) if held else np.zeros(0, np.int64)
            repeated.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
        return pa.array(np.concatenate(repeated), pa.int64())


def _settled(attempt: int, stale: str) -> str:
    return f"(status <> 'transient' or attempt >= {int(attempt)}) and ({stale}) is not true"


def gather(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Batches in tables of at least `rows` rows (the last may have less), in their order."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= rows:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def delete_addresses(dataset: lance.LanceDataset, addresses: list[int]) -> None:
    """Mark the rows at these Lance row addresses deleted."""
    for start in range(0, len(addresses), ADDRESSES_PER_DELETE):
        listed = ", ".join(map(str, addresses[start : start + ADDRESSES_PER_DELETE]))
        dataset.delete(f"_rowaddr in ({listed})")
