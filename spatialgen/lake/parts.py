"""Rows with large values in the store: datasets that grow by a fragment per commit.

They are never compacted, which would copy every blob; a published table shares their files.
"""

import queue
import threading
from collections.abc import Iterator

import lance
import pyarrow as pa
import pyarrow.compute as pc
from lance.blob import BlobType
from lance.fragment import FragmentMetadata, write_fragments

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import TableSpec, is_blob
from spatialgen.lake.store import KEEP_VERSIONS, Dataset

QUEUED = 2  # batches that wait for the disk
FORGET_COMMITS = 100


class PartStore:
    """The engine's attachments of a stage whose answers are rows of `spec`: they are kept whole in
    the store's dataset of that name, and the memo holds what the stage's own schema names.

    Such a stage has `parts=part_columns(spec)`, none of which its schema names, and answers with
    all of them, where spec's key is the row's `key`. Rows that failed are not kept.
    """

    def __init__(self, lake: Lake, spec: TableSpec) -> None:
        self.spec = spec
        self.rows = GrowingRows(lake.stored(spec.name, spec.schema))

    def take(self, answers: pa.Table) -> pa.Table:
        """Keep the rows that are answered; what remains has no column of theirs."""
        kept = answers.filter(pc.equal(answers["status"], "ok"))
        for batch in kept.select(self.spec.schema.names).to_batches():
            self.rows.put(as_rows(self.spec, batch))
        return answers.drop_columns(self.spec.schema.names)

    def commit(self) -> None:
        """Commit what was taken."""
        self.rows.commit()


def part_columns(spec: TableSpec) -> pa.Schema:
    """The columns of `spec` as a batch function gives them: blobs as bytes, and null where a row
    has no answer."""
    return pa.schema(
        [pa.field(f.name, pa.large_binary() if is_blob(f) else f.type) for f in spec.schema]
    )


def as_rows(spec: TableSpec, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of `part_columns(spec)` in the table's schema."""
    columns = [
        as_blobs(batch[field.name]) if is_blob(field) else batch[field.name]
        for field in spec.schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=spec.schema)


def as_blobs(files: pa.Array) -> pa.ExtensionArray:
    """Lance blobs of a large_binary array, which is not copied."""
    kind = BlobType()
    no_place = pa.nulls(len(files), pa.uint64())
    storage = pa.StructArray.from_arrays(
        [files, pa.nulls(len(files), pa.string()), no_place, no_place],
        fields=list(kind.storage_type),
        mask=files.is_null() if files.null_count else None,
    )
    return pa.ExtensionArray.from_storage(kind, storage)


class GrowingRows:
    """Appends to a dataset of the store, made of few files in little memory.

    Between two commits one fragment grows on disk, written by a thread as the rows come. So memory
    holds a few batches, and a published table has few files.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._fragment: _Fragment | None = None
        self._commits = 0

    def put(self, batch: pa.RecordBatch) -> None:
        """Add rows in the dataset's schema."""
        if self._fragment is None:
            self.dataset.create()
            self._fragment = _Fragment(self.dataset)
        self._fragment.put(batch)

    def commit(self) -> None:
        """Finish the fragment and make its rows part of the dataset.

        A fragment that could not be written stays, so that no later commit passes over it.
        """
        if self._fragment is None:
            return
        operation = lance.LanceOperation.Append(self._fragment.finish())
        path = str(self.dataset.path)
        lance.LanceDataset.commit(path, operation, read_version=lance.dataset(path).version)
        self._fragment = None
        self._commits += 1
        if self._commits % FORGET_COMMITS == 0:  # each commit's manifest names every fragment
            lance.dataset(path).cleanup_old_versions(older_than=KEEP_VERSIONS)


class _Fragment:
    """A fragment in the making; a thread writes what is put."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.batches: queue.Queue[pa.RecordBatch | None] = queue.Queue(QUEUED)
        self.written: list[FragmentMetadata] = []
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._write, name="fragment", daemon=True)
        self.thread.start()

    def put(self, batch: pa.RecordBatch | None) -> None:
        """Add a batch (None: the end), when the disk has caught up; raises what writing raised."""
        while True:
            if self.error is not None:
                raise self.error
            try:
                return self.batches.put(batch, timeout=0.2)
            except queue.Full:
                continue

    def finish(self) -> list[FragmentMetadata]:
        """Write the rest; what to commit."""
        self.put(None)
        self.thread.join()
        if self.error is not None:
            raise self.error
        return self.written

    def _write(self) -> None:
        try:
            schema = self.dataset.schema
            reader = pa.RecordBatchReader.from_batches(schema, self._arriving())
            self.written = write_fragments(
                reader, str(self.dataset.path), schema=schema, mode="append"
            )
        except BaseException as error:
            self.error = error

    def _arriving(self) -> Iterator[pa.RecordBatch]:
        while (batch := self.batches.get()) is not None:
            yield batch
