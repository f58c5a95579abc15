"""The lines of a JSONL file of pictures with captions and boxes: each a sample, or no sample.

    {"image_path": "images/1.jpg", "caption": "左边是猫", "url": "https://...",
     "objects": [{"name": "猫", "bbox": [0.1, 0.2, 0.4, 0.9]}]}

`url` and `objects` may be missing; objects may be text: <obj>猫</obj><box>[0.1,0.2,0.4,0.9]</box>.
Any bytes are read; what is wrong with them is said.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from spatialgen.exchange.forms import Unit
from spatialgen.grounding.answers import normalise
from spatialgen.layouts import read_objects
from spatialgen.records import Reason, cut
from spatialgen.relations.geometry import read_bbox
from spatialgen.wukong import BOM

MAX_LINE_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
THOUSANDTHS = 1000


class Unfit(StrEnum):
    """Why a line is no sample, besides what is wrong with its picture (a name of
    spatialgen.fetch.reasons.Reason) or as a row (of spatialgen.records.Reason)."""

    too_long = "too_long"  # more than MAX_LINE_BYTES
    invalid_utf8 = "invalid_utf8"
    no_object = "no_object"  # no JSON, or another value than {...}
    bad_value = "bad_value"  # image_path, caption or url missing, or no text
    bad_objects = "bad_objects"  # no list of names and boxes in the unit that was said
    outside = "outside"  # image_path leaves the file's folder
    no_file = "no_file"  # nothing there, a folder, a link
    duplicate = "duplicate"  # an earlier line has this url and caption
    url_taken = "url_taken"  # the store, or an earlier line, has another picture of this url


class UnfitLineError(ValueError):
    """A line that is no sample: the reason, and its particulars."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Named:
    """A box as the line has it."""

    name: str
    bbox: list[Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a line says."""

    image_path: str
    caption: str
    url: str | None
    objects: list[Named] | None  # None: it says nothing of them


def read_lines(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """Number (from 1), bytes and size of each line that is not blank. Of a line of more than
    MAX_LINE_BYTES, the first bytes, one more than these."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            size, rest = len(line), line
            while len(line) > MAX_LINE_BYTES and rest and not rest.endswith(b"\n"):
                rest = file.readline(CHUNK_BYTES)
                size += len(rest)
            if number == 1:
                line = line.removeprefix(BOM)
            if line.strip():
                yield number, line, size


def read_sample(line: bytes) -> Sample:
    """What a line says; UnfitLineError where it is no sample."""
    if len(line) > MAX_LINE_BYTES:
        raise UnfitLineError(Unfit.too_long, f"more than {MAX_LINE_BYTES} bytes")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnfitLineError(Unfit.invalid_utf8, str(error)) from None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnfitLineError(Unfit.no_object, f"no JSON: {error}") from None
    if not isinstance(values, dict):
        raise UnfitLineError(Unfit.no_object, f"a {type(values).__name__}, and no {{...}}")
    url = values.get("url")
    return Sample(
        image_path=_text(values, "image_path"),
        caption=_text(values, "caption"),
        url=None if url is None else _text(values, "url"),
        objects=_objects(values.get("objects")),
    )


def _text(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UnfitLineError(Unfit.bad_value, f"{key} is {_quoted(value)} and no text")
    try:
        value.encode()
    except UnicodeEncodeError:  # "\ud800"
        raise UnfitLineError(Unfit.invalid_utf8, f"{key} holds half a character") from None
    return value


def _quoted(value: Any) -> str:
    return repr(value)[:80]


def _objects(value: Any) -> list[Named] | None:
    if value is None:
        return None
    listed = _marked_objects(value) if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise UnfitLineError(Unfit.bad_objects, f"objects is {_quoted(value)} and no list")
    found = []
    for each in listed:
        name, bbox = (each.get(key) if isinstance(each, dict) else None for key in ("name", "bbox"))
        if not isinstance(name, str) or not isinstance(bbox, list):
            raise UnfitLineError(Unfit.bad_objects, f"{_quoted(each)} has no name and bbox")
        if not normalise(name) or name != name.encode("utf-8", "ignore").decode():
            raise UnfitLineError(Unfit.bad_objects, f"{_quoted(name)} is no name")
        found.append(Named(name, bbox))
    return found


def _marked_objects(text: str) -> list[dict[str, Any]]:
    try:
        return read_objects(text)
    except ValueError as error:
        raise UnfitLineError(Unfit.bad_objects, str(error)) from None


def scale_objects(
    objects: list[Named], unit: Unit, width: int, height: int
) -> list[dict[str, Any]]:
    """Name and bbox [x1, y1, x2, y2] in 0..1 of each, of a picture of this size in pixels;
    UnfitLineError where one is not inside the picture."""
    sizes = {
        Unit.unit: (1, 1),
        Unit.thousandths: (THOUSANDTHS, THOUSANDTHS),
        Unit.pixels: (width, height),
    }[unit]
    found = []
    for each in objects:
        try:
            sides = [float(side) / size for side, size in zip(each.bbox, sizes * 2, strict=True)]
            with np.errstate(over="ignore"):  # as the tables keep them: no box in 32 bits is none
                found.append({"name": each.name, "bbox": read_bbox(np.array(sides, np.float32))})
        except (ValueError, TypeError, OverflowError):
            raise UnfitLineError(
                Unfit.bad_objects,
                f"{_quoted(each.bbox)} of {each.name} is no [x1, y1, x2, y2] of {unit} inside a "
                f"picture of {width} x {height}; say what it counts in with --boxes",
            ) from None
    return found


def csv_record(url: str, caption: str) -> bytes:
    """The record of a row in a CSV shard; UnfitLineError where stage candidates would reject it, or
    read it otherwise."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([url, caption])
    record = line.getvalue().encode()
    read = cut(record, final=True)
    if len(read.problem) == 1 and read.problem[0] > 0:
        reason = Reason(int(read.problem[0])).name
        raise UnfitLineError(reason, f"as a CSV record it is {reason}")
    if len(read.problem) != 1:
        raise UnfitLineError(Reason.unterminated_quote.name, "too many lines for a CSV record")
    fields = []
    for start, doubled in zip((1, 3), read.doubled[0], strict=True):
        field = record[read.offsets[start] : read.offsets[start + 1]].decode()
        fields.append(field.replace('""', '"') if doubled else field)
    if fields != [url, caption]:
        raise UnfitLineError(Reason.malformed_quote.name, "as a CSV record it reads otherwise")
    return record
