"""Wukong-shaped CSV shards: UTF-8 with the header `url,caption`, read without losing a line."""

import csv
import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from spatialgen.errors import InputError
from spatialgen.records import MAX_RECORD_BYTES, NO_RECORD, SLICES, Ints, Reason, Records, cut

HEADER = ["url", "caption"]
BLOCK_BYTES = 1 << 20  # fits a core's cache together with its masks
BOM = b"\xef\xbb\xbf"
COMPRESSED = (".bz2", ".gz", ".zst")

RECORD_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int32()),  # Shard.number
        pa.field("line", pa.int64()),  # the record's first line in its shard, from 1 (the header)
        pa.field("problem", pa.int8()),  # a Reason, or 0
        pa.field("url_doubled", pa.bool_()),  # whether quotes in it are doubled
        pa.field("caption_doubled", pa.bool_()),
        pa.field("slices", pa.list_(pa.string(), SLICES)),  # margin, url, margin, caption
    ]
)


@dataclass(frozen=True, slots=True)
class Shard:
    """One CSV file; `name` is its path inside the folder that the user gave."""

    path: Path
    name: str
    number: int = 0  # its place in the list of all shards

    def open(self) -> pa.NativeFile:
        """A stream of its bytes, unpacked where its name ends in .gz, .bz2 or .zst."""
        return pa.input_stream(str(self.path), compression="detect")


def find_shards(source: Path, pattern: str) -> list[Shard]:
    """The shards at `source`: one file, or the files below a folder whose name fits `pattern`.

    Every header is checked before any shard is read.
    """
    if source.is_file():
        shards = [Shard(source, source.name)]
    elif source.is_dir():
        names = sorted(path.relative_to(source).as_posix() for path in _files(source, pattern))
        shards = [Shard(source / name, name, number) for number, name in enumerate(names)]
    else:
        raise InputError(f"candidates.csv: {source} does not exist; give a CSV file or a folder")
    if not shards:
        raise InputError(
            f"candidates.csv: no file in {source} fits {pattern!r}; "
            "set candidates.pattern to the names of your shards"
        )
    for shard in shards:
        _check_header(shard)
    return shards


def _files(source: Path, pattern: str) -> Iterator[Path]:
    """The files below a folder whose name fits; linked folders count, each once."""

    def stop(error: OSError) -> NoReturn:
        raise InputError(f"{error.filename} cannot be listed ({error.strerror}); mend its rights")

    seen = set()
    for folder, folders, names in os.walk(source, followlinks=True, onerror=stop):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(folder) / name for name in names if fnmatch.fnmatchcase(name, pattern))


def _check_header(shard: Shard) -> None:
    try:
        with shard.open() as stream:
            start = stream.read(MAX_RECORD_BYTES)
    except OSError as error:
        raise InputError(f"{shard.path} cannot be read ({error}); check the file") from None
    if not start:
        raise InputError(f"{shard.path} is empty (0 bytes); remove it or download it again")
    first = start.removeprefix(BOM).split(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace")
    try:
        names = next(csv.reader([first], strict=True), [])
    except csv.Error:  # an open quote, or carriage returns for line ends
        names = []
    if names != HEADER:
        raise InputError(
            f"{shard.path} begins with {first[:80]!r} instead of the header 'url,caption' in "
            "UTF-8; add that line, or name the right files in candidates.pattern"
        )


def progress_bar(shards: list[Shard], *, quiet: bool) -> "tqdm[NoReturn]":
    """A bar over the shards' bytes, where someone watches; read_records moves it."""
    packed = any(shard.path.suffix in COMPRESSED for shard in shards)
    total = None if packed else sum(shard.path.stat().st_size for shard in shards)
    disable = True if quiet else None  # None: shown on a terminal alone
    return tqdm(total=total, unit="B", unit_scale=True, desc="CSV shards", disable=disable)


def read_records(
    shards: list[Shard], bar: "tqdm[NoReturn] | None" = None
) -> Iterator[pa.RecordBatch]:
    """All records of `shards` in RECORD_SCHEMA, a block at a time.

    Headers and blank lines are left out. Memory stays at a few blocks, however large a shard is.
    """
    for shard in shards:
        line = 1
        for block, records in _cut_shard(shard):
            batch = _as_batch(block, records, shard.number, line)
            line += records.lines
            if bar is not None:
                bar.update(records.consumed)
            if batch.num_rows:
                yield batch


def _cut_shard(shard: Shard) -> Iterator[tuple[bytes, Records]]:
    rest = b""
    try:
        with shard.open() as stream:
            while read := stream.read(BLOCK_BYTES):
                block = rest + read
                records = cut(block, final=False)
                yield block, records
                rest = block[records.consumed :]
                if len(rest) > 2 * MAX_RECORD_BYTES:
                    rest = _skip_line(rest, stream)
    except OSError as error:
        raise InputError(
            f"{shard.path} cannot be read to its end ({error}); download it again"
        ) from None
    if rest:
        rest = rest if rest.endswith(b"\n") else rest + b"\n"
        yield rest, cut(rest, final=True)


def _skip_line(rest: bytes, stream: pa.NativeFile) -> bytes:
    """Shorten a line without end, so that it is still too long but memory stays bounded."""
    head = rest[: MAX_RECORD_BYTES + 8].decode("utf-8", "ignore").encode()
    tail = rest
    while b"\n" not in tail:
        tail = stream.read(BLOCK_BYTES)
        if not tail:
            return head
    return head + tail[tail.index(b"\n") :]


def _as_batch(block: bytes, records: Records, shard: int, first_line: int) -> pa.RecordBatch:
    line = records.line + first_line
    offsets, problem = records.offsets, records.problem
    if damaged := _find_invalid(block, records.borders):
        offsets, problem = offsets.copy(), problem.copy()
        problem[damaged] = Reason.invalid_utf8
        mended = bytearray(block)
        for record in damaged:
            start, end = int(records.borders[record]), int(records.borders[record + 1])
            raw = block[start:end].rstrip(b"\r\n")
            end = start + len(raw)
            offsets[SLICES * record + 1 : SLICES * record + 5] = [start, end, end, end]
            valid = raw.decode("utf-8", "ignore").encode()
            mended[start:end] = valid.ljust(len(raw), b"?")  # offsets stay right
        block = bytes(mended)
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(block)]
    texts = pa.Array.from_buffers(pa.string(), SLICES * len(line), buffers)
    batch = pa.record_batch(
        [
            pa.array(np.full(len(line), shard, np.int32)),
            pa.array(line),
            pa.array(problem.astype(np.int8)),
            pa.array(records.doubled[:, 0]),
            pa.array(records.doubled[:, 1]),
            pa.FixedSizeListArray.from_arrays(texts, SLICES),
        ],
        schema=RECORD_SCHEMA,
    )
    if first_line == 1:
        batch, problem = batch.slice(1), problem[1:]  # the header
    is_record = problem != NO_RECORD
    return batch if is_record.all() else batch.filter(pa.array(is_record))


def _find_invalid(block: bytes, borders: Ints) -> list[int]:
    """Which of the records between `borders` are no UTF-8."""
    view, start, end = memoryview(block), 0, int(borders[-1])
    found: list[int] = []
    if _is_utf8(block, end):
        return found
    while True:
        try:
            str(view[start:end], "utf-8")
        except UnicodeDecodeError as error:
            found.append(int(np.searchsorted(borders, start + error.start, side="right")) - 1)
            start = int(borders[found[-1] + 1])
        else:
            return found


def _is_utf8(block: bytes, end: int) -> bool:
    """Whether the block is UTF-8 up to `end`; 3x as fast as decoding it in Python."""
    whole = [None, pa.py_buffer(np.array([0, end], np.int32)), pa.py_buffer(block)]
    try:
        pa.Array.from_buffers(pa.binary(), 1, whole).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True
