"""The pictures' own dataset in the store: each distinct file once, as it came."""

import queue
import threading
from collections.abc import Iterator

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance.blob import BlobType
from lance.fragment import FragmentMetadata, write_fragments
from numpy.typing import NDArray

from spatialgen.fetch.pictures import UnfitPictureError, perceptual_hash
from spatialgen.fetch.reasons import Reason
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import IMAGES
from spatialgen.lake.store import KEEP_VERSIONS, Dataset
from spatialgen.rows.batcher import PERMANENT

QUEUED = 2  # batches that wait for the disk
FORGET_COMMITS = 100
RECENT = 100_000  # digests in a set, before they join the sorted array
PARTS = pa.schema([pa.field("format", pa.string()), pa.field("image", pa.large_binary())])


class ImageStore:
    """The engine's attachments for stage download: keeps the pictures that the store lacks.

    Between two commits one fragment grows on disk, written by a thread as the pictures come. So
    memory holds a few batches, and a published table has few files.
    """

    def __init__(self, lake: Lake) -> None:
        self.dataset = lake.stored(IMAGES.name, IMAGES.schema)
        self.known = KnownDigests(self.dataset)
        self._fragment: _Fragment | None = None
        self._commits = 0

    def take(self, answers: pa.Table) -> pa.Table:
        """Keep the new pictures of `answers`; one that cannot be decoded becomes a failure."""
        answers = answers.combine_chunks()
        images, places, hashes = answers["image"].chunk(0), [], []
        damaged: dict[int, str] = {}
        for place, digest in enumerate(answers["sha256"].to_pylist()):
            if digest is None or digest in self.known:
                continue
            try:
                hashes.append(perceptual_hash(images[place].as_buffer()))
            except UnfitPictureError as error:
                damaged[place] = str(error)
                continue
            places.append(place)
            self.known.add(digest)
        if len(places) == answers.num_rows:
            self._write(answers, hashes)  # nothing to copy
        elif places:
            self._write(answers.take(pa.array(places)).combine_chunks(), hashes)
        return _mark_damaged(answers.drop_columns(PARTS.names), damaged)

    def _write(self, rows: pa.Table, hashes: list[int | None]) -> None:
        if self._fragment is None:
            self.dataset.create()
            self._fragment = _Fragment(self.dataset)
        columns = {name: rows[name].chunk(0) for name in rows.column_names}
        columns["image"] = as_blobs(columns["image"])
        columns["phash"] = pa.array(hashes, pa.int64())
        ordered = [columns[field.name] for field in IMAGES.schema]
        self._fragment.put(pa.RecordBatch.from_arrays(ordered, schema=IMAGES.schema))

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
        self.thread = threading.Thread(target=self._write, name="images", daemon=True)
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
            reader = pa.RecordBatchReader.from_batches(IMAGES.schema, self._arriving())
            self.written = write_fragments(
                reader, str(self.dataset.path), schema=IMAGES.schema, mode="append"
            )
        except BaseException as error:
            self.error = error

    def _arriving(self) -> Iterator[pa.RecordBatch]:
        while (batch := self.batches.get()) is not None:
            yield batch


class KnownDigests:
    """The sha256 (hex) of the pictures in the store, 32 bytes each; new ones join in batches."""

    def __init__(self, dataset: Dataset) -> None:
        self._sorted: NDArray[np.bytes_] = np.zeros(0, "S32")
        self._recent: set[bytes] = set()
        stored = dataset.open()
        if stored is None:
            return
        parts = [
            np.frombuffer(bytes.fromhex("".join(batch["sha256"].to_pylist())), "S32")
            for batch in stored.scanner(columns=["sha256"]).to_batches()
        ]
        self._sorted = np.sort(np.concatenate([self._sorted, *parts]))

    def __contains__(self, digest: str) -> bool:
        raw = bytes.fromhex(digest)
        if raw in self._recent:
            return True
        place = np.searchsorted(self._sorted, np.frombuffer(raw, "S32"))[0]
        return bool(place < len(self._sorted) and self._sorted[place] == raw.rstrip(b"\0"))

    def add(self, digest: str) -> None:
        """Remember one more."""
        self._recent.add(bytes.fromhex(digest))
        if len(self._recent) >= RECENT:
            recent = np.frombuffer(b"".join(self._recent), "S32")
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent.clear()


def as_blobs(files: pa.Array) -> pa.ExtensionArray:
    """Lance blobs of a large_binary array, which is not copied."""
    kind = BlobType()
    no_place = pa.nulls(len(files), pa.uint64())
    columns = [files, pa.nulls(len(files), pa.string()), no_place, no_place]
    storage = pa.StructArray.from_arrays(columns, fields=list(kind.storage_type))
    return pa.ExtensionArray.from_storage(kind, storage)


def _mark_damaged(answers: pa.Table, damaged: dict[int, str]) -> pa.Table:
    """The answers, those at these places as failures with these errors."""
    if not damaged:
        return answers
    mask = np.zeros(answers.num_rows, bool)
    mask[list(damaged)] = True
    errors = answers["error"].to_pylist()
    for place, why in damaged.items():
        errors[place] = f"{Reason.damaged}: {why}"
    replaced = {
        "status": pc.if_else(mask, PERMANENT, answers["status"]),
        "reason": pc.if_else(mask, str(Reason.damaged), answers["reason"]),
        "sha256": pc.if_else(mask, pa.scalar(None, pa.string()), answers["sha256"]),
        "error": pa.array(errors, pa.string()),
    }
    columns = [replaced.get(name, answers[name]) for name in answers.column_names]
    return pa.table(columns, schema=answers.schema)
