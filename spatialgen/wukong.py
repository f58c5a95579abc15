"""Wukong-shaped CSV shards: UTF-8 with the header `url,caption`, read without losing a line."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from spatialgen.errors import InputError
from spatialgen.records import BLANK, MAX_RECORD_BYTES, SLICES, Ints, Reason, Records, cut

HEADER = ["url", "caption"]
BLOCK_BYTES = 1 << 20  # fits a core's cache together with its masks
BOM = b"\xef\xbb\xbf"
COMPRESSED = (".bz2", ".gz", ".zst")

RECORD_SCHEMA = pa.schema(
    [
        pa.field("shard", pa.int32()),  # index into the list of shards
        pa.field("line", pa.int64()),  # the record's first line in its shard, from 1 (the header)
        pa.field("problem", pa.int8()),  # a Reason, or 0
        pa.field("simple", pa.bool_()),  # certainly two non-empty fields; see records.Records
        pa.field("slices", pa.list_(pa.string(), SLICES)),  # url, comma, caption, line end
    ]
)


@dataclass(frozen=True, slots=True)
class Shard:
    """One CSV file; `name` is its path inside the folder that the user gave."""

    path: Path
    name: str

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
        paths = sorted(path for path in source.rglob(pattern) if path.is_file())
        shards = [Shard(path, path.relative_to(source).as_posix()) for path in paths]
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


def _check_header(shard: Shard) -> None:
    try:
        with shard.open() as stream:
            start = stream.read(MAX_RECORD_BYTES)
    except OSError as error:
        raise InputError(f"{shard.path} cannot be read ({error}); check the file") from None
    if not start:
        raise InputError(f"{shard.path} is empty (0 bytes); remove it or download it again")
    first = start.removeprefix(BOM).split(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace")
    if next(csv.reader([first]), []) != HEADER:
        raise InputError(
            f"{shard.path} begins with {first[:80]!r} instead of the header 'url,caption' in "
            "UTF-8; add that line, or name the right files in candidates.pattern"
        )


def read_records(shards: list[Shard], *, progress: bool = True) -> Iterator[pa.RecordBatch]:
    """All records of all shards in RECORD_SCHEMA, a block at a time, with a bar over the bytes.

    Headers and blank lines are left out. Memory stays at a few blocks, however large a shard is.
    """
    packed = any(shard.path.suffix in COMPRESSED for shard in shards)
    total = None if packed else sum(shard.path.stat().st_size for shard in shards)
    quiet = None if progress else True  # None: quiet unless someone watches
    with tqdm(total=total, unit="B", unit_scale=True, desc="CSV shards", disable=quiet) as bar:
        for number, shard in enumerate(shards):
            line = 1
            for block, records in _cut_shard(shard):
                batch = _as_batch(block, records, number, line)
                line += records.lines
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
    head = rest[: MAX_RECORD_BYTES + 1]
    tail = rest
    while b"\n" not in tail:
        tail = stream.read(BLOCK_BYTES)
        if not tail:
            return head
    return head + tail[tail.index(b"\n") :]


def _as_batch(block: bytes, records: Records, shard: int, first_line: int) -> pa.RecordBatch:
    line = records.line + first_line
    problem = records.problem
    count = SLICES * len(line)
    buffers = [None, pa.py_buffer(records.offsets.astype(np.int32)), pa.py_buffer(block)]
    if _is_utf8(buffers[2], records.consumed):
        texts = pa.Array.from_buffers(pa.string(), count, buffers)
    else:
        slices = pa.Array.from_buffers(pa.binary(), count, buffers)
        texts, problem = _decode(slices, problem)
    batch = pa.record_batch(
        [
            pa.array(np.full(len(line), shard, np.int32)),
            pa.array(line),
            pa.array(problem.astype(np.int8)),
            pa.array(records.simple),
            pa.FixedSizeListArray.from_arrays(texts, SLICES),
        ],
        schema=RECORD_SCHEMA,
    )
    is_record = (problem != BLANK) & (line > 1)
    return batch if is_record.all() else batch.filter(pa.array(is_record))


def _is_utf8(buffer: pa.Buffer, length: int) -> bool:
    """Whether the first `length` bytes are UTF-8; slices between ASCII characters then are, too."""
    ends = pa.py_buffer(np.array([0, length], np.int32))
    try:
        pa.Array.from_buffers(pa.binary(), 1, [None, ends, buffer]).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _decode(slices: pa.Array, problem: Ints) -> tuple[pa.Array, Ints]:
    """Decode one by one: the rare block in which some record is no UTF-8."""
    problem = problem.copy()
    texts = []
    for index, raw in enumerate(slices.to_pylist()):
        text = raw.decode("utf-8", "replace")
        if "\ufffd" in text and text.encode() != raw:
            problem[index // SLICES] = Reason.invalid_utf8
        texts.append(text)
    return pa.array(texts, pa.string()), problem
