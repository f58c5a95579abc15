"""A folder of pictures with a JSONL file, into the store, as if its pictures had been downloaded.

New pictures go to the store's images, and an answer for each URL to the memo of stage download,
which then finds nothing to fetch. What the pipeline goes on with is written to a folder:

imported.csv    a CSV shard for stage candidates: url, caption
boxes.parquet   row_id and objects, for annotate.given; lines without objects have no row here
rejects.csv     the lines that are no sample: line, reason, why, text
"""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from spatialgen.errors import InputError
from spatialgen.exchange.forms import Unit
from spatialgen.exchange.lines import (
    Sample,
    Unfit,
    UnfitLineError,
    csv_record,
    read_lines,
    read_sample,
    scale_objects,
)
from spatialgen.exchange.pictures import PictureFile, read_picture
from spatialgen.exchange.places import new_folder
from spatialgen.fetch.images import ImageStore
from spatialgen.fetch.stage import download_stage
from spatialgen.fetch.urls import host_of
from spatialgen.lake.ids import h64, row_id
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import BBOX
from spatialgen.params import Params
from spatialgen.project import uninterrupted
from spatialgen.rows.batcher import OK, OUTCOME
from spatialgen.rows.engine import memo_rows

# RFC 2606 reserves .invalid: such a URL can never be asked, and says so.
URL_OF_PICTURE = "https://imported.invalid/{sha256}"
SHARD, BOXES, REJECTS = "imported.csv", "boxes.parquet", "rejects.csv"
COMMIT_ROWS, COMMIT_BYTES = 1024, 64 << 20  # read, checked and committed at once
TEXT_CHARACTERS = 1000  # kept of a line that is no sample
GIVEN = pa.schema(
    [
        pa.field("row_id", pa.int64()),
        pa.field(
            "objects",
            pa.list_(pa.struct([pa.field("name", pa.string()), pa.field("bbox", BBOX)])),
        ),
    ]
)


@dataclass
class Imported:
    """What became of the lines."""

    lines: int = 0
    samples: int = 0  # lines that are rows now
    with_objects: int = 0  # of these
    new_urls: int = 0  # that the store had no picture of
    rejects: Counter[str] = field(default_factory=Counter)  # by reason


@dataclass(frozen=True, slots=True)
class Read:
    """A line with its picture, which looks sound."""

    number: int
    line: bytes
    sample: Sample
    file: PictureFile
    url: str
    row_id: int
    record: bytes  # in the CSV shard
    objects: list[dict[str, Any]] | None


def import_samples(
    lake: Lake, source: Path, out: Path, params: Params, *, unit: Unit, force: bool = False
) -> Imported:
    """Import `source`, a JSONL file or the folder that holds one, and write `out`.

    Every line is a row or a reject. A kill costs what is not committed yet: the next import of the
    same lines finds the rest in the store. InputError where no line is a sample.
    """
    path = find_jsonl(source)
    imported = Imported()
    intake = Intake(lake, params)
    with new_folder(out, (SHARD, BOXES, REJECTS), force=force) as scratch:
        with (
            tqdm(total=path.stat().st_size, unit="B", unit_scale=True, disable=None) as bar,
            _Outputs(scratch, imported) as outputs,
        ):
            for batch in _batches(path, params.download.max_bytes, unit, outputs, bar):
                for read, error in zip(batch, intake.take(batch), strict=True):
                    if error is None:
                        outputs.accept(read)
                    else:
                        outputs.reject(read.number, read.line, error)
        imported.new_urls = intake.added
        if not imported.samples:
            reasons = ", ".join(f"{name} {count}" for name, count in imported.rejects.most_common())
            raise InputError(
                f"no line of {path} is a sample ({reasons or 'it is empty'}; "
                f"{outputs.first or 'nothing to read'}); mend it"
            )
        if unit is not Unit.unit and imported.with_objects and outputs.largest <= 1:
            raise InputError(
                f"no coordinate in {path} is above 1, so it does not count in {unit}; import it "
                "with --boxes unit"
            )
    intake.memo.compact()
    return imported


def find_jsonl(source: Path) -> Path:
    """The JSONL file that `source` is, or the only one in it, in a path without linked folders."""
    if source.is_dir():
        found = sorted(source.glob("*.jsonl"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise InputError(f"{source} does not hold one .jsonl file ({names}); name the file")
        source = found[0]
    if not source.is_file():
        raise InputError(f"{source} is neither a folder nor a file; give a folder or a .jsonl file")
    return source.parent.resolve() / source.name


def _batches(
    path: Path, max_bytes: int, unit: Unit, outputs: "_Outputs", bar: "tqdm[Any]"
) -> Iterator[list[Read]]:
    """The lines with their pictures, some at a time; the others are rejected."""
    held: list[Read] = []
    size = 0
    for number, line, length in read_lines(path):
        outputs.imported.lines += 1
        bar.update(length)
        try:
            read = _read(number, line, path.parent, max_bytes, unit)
        except UnfitLineError as error:
            outputs.reject(number, line, error)
            continue
        held.append(read)
        size += len(read.file.content)
        if len(held) >= COMMIT_ROWS or size >= COMMIT_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _read(number: int, line: bytes, folder: Path, max_bytes: int, unit: Unit) -> Read:
    sample = read_sample(line)
    file = read_picture(sample.image_path, folder, max_bytes)
    url = sample.url or URL_OF_PICTURE.format(sha256=file.sha256)
    record = csv_record(url, sample.caption)
    objects = None
    if sample.objects is not None:
        size = file.picture.width, file.picture.height
        objects = scale_objects(sample.objects, unit, *size)
    return Read(number, line, sample, file, url, row_id(url, sample.caption), record, objects)


class Intake:
    """Gives the store what it lacks of pictures and answers."""

    def __init__(self, lake: Lake, params: Params) -> None:
        self.stage = download_stage(params.download, params.compute)
        self.memo = lake.memo(self.stage.name, self.stage.schema)
        self.images = ImageStore(lake)
        self.added = 0
        self._rows: set[int] = set()

    def take(self, batch: list[Read]) -> list[UnfitLineError | None]:
        """Commit the pictures and then the answers; per line, why it is no sample, if it is none.

        An answer without a picture, of an earlier download, gives way; one with another picture
        does not.
        """
        answers = self.images.take(self._answers(batch))
        keys = [h64(self.stage.fp, read.url) for read in batch]
        taken = self._taken(keys)
        errors: list[UnfitLineError | None] = []
        new: list[int] = []
        for place, (read, key) in enumerate(zip(batch, keys, strict=True)):
            failed = answers["error"][place].as_py()
            error = self._refusal(read, failed, taken.get(key))
            errors.append(error)
            if error is None:
                self._rows.add(read.row_id)
                if key not in taken:
                    taken[key] = read.file.sha256
                    new.append(place)
        with uninterrupted():
            self.images.commit()
            if new:
                self._append(batch, keys, answers, new)
        return errors

    def _refusal(self, read: Read, failed: str | None, taken: str | None) -> UnfitLineError | None:
        if failed is not None:
            reason, _, why = failed.partition(": ")
            return UnfitLineError(reason, f"{read.sample.image_path}: {why}")
        if read.row_id in self._rows:
            return UnfitLineError(Unfit.duplicate, "an earlier line has this url and caption")
        if taken not in (None, read.file.sha256):
            return UnfitLineError(Unfit.url_taken, f"the store has picture {taken} for {read.url}")
        return None

    def _taken(self, keys: list[int]) -> dict[int, str]:
        """The sha256 of the picture that the store has for these questions, where it has one."""
        asked = pa.chunked_array([pa.array(sorted(set(keys)), pa.int64())])
        stored = self.memo.answers(asked).select(["key", "status", "sha256"]).to_pylist()
        return {row["key"]: row["sha256"] for row in stored if row["status"] == OK}

    def _append(
        self, batch: list[Read], keys: list[int], answers: pa.Table, new: list[int]
    ) -> None:
        asked = pa.table({"key": [keys[i] for i in new], "row_id": [batch[i].row_id for i in new]})
        self.memo.append(memo_rows(self.memo, self.stage, asked, answers.take(pa.array(new))))
        self.added += len(new)

    def _answers(self, batch: list[Read]) -> pa.Table:
        rows = [
            {
                "status": OK,
                "host": host_of(read.url),
                "requests": 0,
                "seconds": 0.0,
                "sha256": read.file.sha256,
                "n_bytes": len(read.file.content),
                "width": read.file.picture.width,
                "height": read.file.picture.height,
                "format": read.file.picture.format,
                "image": read.file.content,
            }
            for read in batch
        ]
        schema = pa.schema([*self.stage.schema, *self.stage.parts, *OUTCOME])
        return pa.Table.from_pylist(rows, schema=schema)


class _Outputs:
    """The files of the folder that an import writes."""

    def __init__(self, folder: Path, imported: Imported) -> None:
        self.folder = folder
        self.imported = imported
        self.first = ""  # reject
        self.largest = 0.0  # coordinate, as the lines have them
        self._given: list[dict[str, Any]] = []

    def __enter__(self) -> "_Outputs":
        with ExitStack() as stack:
            self.shard = stack.enter_context((self.folder / SHARD).open("wb"))
            self.shard.write(b"url,caption\n")
            rejects = (self.folder / REJECTS).open("w", encoding="utf-8", newline="")
            self.rejects = csv.writer(stack.enter_context(rejects), lineterminator="\n")
            self.rejects.writerow(["line", "reason", "why", "text"])
            self.boxes = stack.enter_context(pq.ParquetWriter(self.folder / BOXES, GIVEN))
            self._files = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with self._files:
            self._write_given()

    def accept(self, read: Read) -> None:
        """A row."""
        self.imported.samples += 1
        self.shard.write(read.record)
        if read.objects is not None:
            self.imported.with_objects += 1
            for each in read.sample.objects or ():
                self.largest = max(self.largest, *map(float, each.bbox))
            self._given.append({"row_id": read.row_id, "objects": read.objects})
            if len(self._given) == COMMIT_ROWS:
                self._write_given()

    def reject(self, number: int, line: bytes, error: UnfitLineError) -> None:
        """A line that is no sample."""
        self.imported.rejects[str(error.reason)] += 1
        why = " ".join(str(error).encode("utf-8", "replace").decode().split())
        text = line.decode("utf-8", "replace").strip()[:TEXT_CHARACTERS]
        self.rejects.writerow([number, error.reason, why, text])
        self.first = self.first or f"line {number}: {why}"

    def _write_given(self) -> None:
        self.boxes.write_batch(pa.RecordBatch.from_pylist(self._given, schema=GIVEN))
        self._given.clear()
