"""The pictures' own dataset in the store: each distinct file once, as it came."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from spatialgen.fetch.pictures import UnfitPictureError, perceptual_hash
from spatialgen.fetch.reasons import Reason
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import GrowingRows, as_blobs
from spatialgen.lake.schemas import IMAGES
from spatialgen.lake.store import Dataset
from spatialgen.rows.batcher import PERMANENT

RECENT = 100_000  # digests in a set, before they join the sorted array
PARTS = pa.schema([pa.field("format", pa.string()), pa.field("image", pa.large_binary())])


class ImageStore:
    """The engine's attachments for stage download: keeps the pictures that the store lacks."""

    def __init__(self, lake: Lake) -> None:
        self.rows = GrowingRows(lake.stored(IMAGES.name, IMAGES.schema))
        self.known = KnownDigests(self.rows.dataset)

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
        columns = {name: rows[name].chunk(0) for name in rows.column_names}
        columns["image"] = as_blobs(columns["image"])
        columns["phash"] = pa.array(hashes, pa.int64())
        ordered = [columns[field.name] for field in IMAGES.schema]
        self.rows.put(pa.RecordBatch.from_arrays(ordered, schema=IMAGES.schema))

    def commit(self) -> None:
        """Commit the pictures that were taken."""
        self.rows.commit()


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
