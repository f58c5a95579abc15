"""Rows whose boxes are known: given ones are published, gold ones measure the annotator.

A file of them is .parquet or .jsonl, one row each: `row_id` (or `url` and `caption`), and
`objects`, each with `name` and `bbox` [x1, y1, x2, y2] in 0..1. Where objects have `named`, those
that it says the caption does not name are only known to be there: the sample world's truth has
them. Gold that lists all that a picture shows makes planted names honest; gold that lists less may
count a thing that is there as a false box.
"""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spatialgen.errors import InputError
from spatialgen.grounding.publish import answered_rounds, read_look
from spatialgen.grounding.scores import BoxScores
from spatialgen.grounding.stage import ASKED, question
from spatialgen.lake.ids import h64, row_id
from spatialgen.lake.lake import Lake
from spatialgen.params import AnnotateParams
from spatialgen.relations.geometry import read_bbox
from spatialgen.rows.stage import RowStage

Boxes = dict[str, list[list[float]]]


@dataclass(frozen=True)
class Known:
    """What is known of one row's picture."""

    named: Boxes  # true boxes of what the caption names
    shown: frozenset[str]  # every name that is known to be there


def read_given(params: AnnotateParams) -> dict[int, Boxes]:
    """The boxes of the rows in `params.given`, which no model is asked about, by row_id."""
    found = _read_known(params.given, "annotate.given")
    return {row_id: known.named for row_id, known in found.items()}


def read_gold(params: AnnotateParams, given: Container[int] = ()) -> dict[int, Known]:
    """The rows of `params.gold` by row_id. Those whose boxes are `given` measure no model and are
    left out."""
    found = _read_known(params.gold, "annotate.gold")
    return {row_id: known for row_id, known in found.items() if row_id not in given}


def _read_known(file: str | None, param: str) -> dict[int, Known]:
    """The rows of a file by row_id; InputError with the row that is wrong, or with `param`."""
    known: dict[int, Known] = {}
    if file is None:
        return known
    path = Path(file)
    try:
        for number, row in enumerate(_rows(path), 1):
            key, found = _read_row(path, number, row)
            if key in known:
                raise InputError(f"{path}: row {number} repeats row_id {key}; give each row once")
            known[key] = found
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(
            f"{param} = {path} cannot be read ({error}); give a .parquet or UTF-8 .jsonl file, or "
            "null"
        ) from None
    return known


def _rows(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
        return
    with path.open(encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield error


def _read_row(path: Path, number: int, row: Any) -> tuple[int, Known]:
    try:
        if isinstance(row, Exception):
            raise row
        key = row.get("row_id")
        if key is None:
            key = row_id(row["url"], row["caption"])
        if type(key) is not int or not -(2**63) <= key < 2**63:
            raise ValueError(f"row_id {key!r} is no 64-bit integer")
        named: Boxes = {}
        for each in row["objects"]:
            name, is_named = each["name"], each.get("named", True)
            if (
                not isinstance(name, str)
                or not name.encode().strip()
                or not isinstance(is_named, bool)
            ):
                raise ValueError(f"name {name!r} is no text, or named {is_named!r} no boolean")
            box = read_bbox(each["bbox"])
            if is_named:
                named.setdefault(name, []).append(box)
        return key, Known(named, frozenset(each["name"] for each in row["objects"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: row {number} has no row_id (or url and caption) and objects with name and "
            f"bbox ({type(error).__name__}: {error}); mend it"
        ) from None


def planted_rows(
    asked: pa.Table, gold: Mapping[int, Known], prompt: str, params: AnnotateParams
) -> pa.Table:
    """The first `params.planted` rows of `asked` that gold knows, each asked for one name more that
    other captions name and its picture does not show."""
    if "{names}" not in prompt or not gold or not params.planted:
        return ASKED.empty_table()
    rows = _known(asked, gold).slice(0, params.planted).to_pylist()
    everything = sorted({name for each in gold.values() for name in each.shown})
    planted = []
    for row in rows:
        choices = [
            name for name in everything
            if name not in gold[row["row_id"]].shown and name not in row["caption"]
        ]  # fmt: skip
        if not choices or row["question"] is None:
            continue
        draw = h64("planted", str(row["row_id"])) % 2**32
        names = row["names"][: params.max_names - 1]
        names.insert(draw % (len(names) + 1), choices[draw % len(choices)])
        planted.append(row | {"names": names, "question": question(prompt, row["caption"], names)})
    return pa.Table.from_pylist(planted, schema=ASKED)


def measure(
    lake: Lake,
    stage: RowStage,
    gold: Mapping[int, Known],
    planted: pa.Table,
    params: AnnotateParams,
) -> BoxScores:
    """Scores of lake/boxes in the rows that gold knows, and of the answers about planted names.

    What the caption names and gold knows counts; a row without an answer misses all of it.
    """
    scores = BoxScores()
    boxes = lake["boxes"].dataset().scanner(columns=["row_id", "objects"])
    for batch in boxes.to_batches() if gold else ():
        for row in _known(batch, gold).to_pylist():
            scores.add(_by_name(row["objects"]), gold[row["row_id"]].named)
    for part in answered_rounds(lake, stage, planted):
        for row in part.to_pylist():
            answer, error = read_look(row, params)
            if error is None:
                absent = [n for n in row["names"] if n not in gold[row["row_id"]].shown]
                scores.count_absent(answer.objects, [n for n in absent if n not in row["caption"]])
    return scores


def _known(rows: Any, gold: Mapping[int, Known]) -> Any:
    """The rows, of a table or a batch, that gold knows."""
    return rows.filter(pc.is_in(rows["row_id"], value_set=pa.array([*gold], pa.int64())))


def _by_name(objects: Sequence[Mapping[str, Any]]) -> Boxes:
    found: Boxes = {}
    for each in objects:
        found.setdefault(each["name"], []).append(each["bbox"])
    return found
