"""Which pictures are painted: held-out captions, each under every condition and with every seed."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from spatialgen.encode.buckets import Buckets, Crop
from spatialgen.errors import ParamsError
from spatialgen.lake.ids import h64
from spatialgen.lake.lake import Lake
from spatialgen.layouts import Layout, Placed, make_layout
from spatialgen.model_identity import model_identity
from spatialgen.params import EvaluateParams, Params
from spatialgen.planner.scores import Example
from spatialgen.relations.names import means_same
from spatialgen.relations.parse import read_caption
from spatialgen.relations.rules import AXES
from spatialgen.training.order import mix
from spatialgen.training.rows import TrainingRows, choose_rows

ON, OFF, PLANNED, SHUFFLED = "on", "off", "planned", "shuffled"
RECONSTRUCTION = "reconstruction"
SWEPT = {"scale": "scales", "beta": "betas"}  # a param of condition on, and its values to try
COLUMNS = {"boxes": ["sha256", "objects"], "captions": ["caption"]}
READ_ROWS = 512  # at once, until there are enough with a box in their crop
MOST_NAMES = 64  # of which one is planted: the lake's most frequent
DIGITS = 4  # of a coordinate
ASKED = pa.schema(
    [
        pa.field("row_id", pa.int64()),
        pa.field("caption", pa.string()),
        pa.field("row", pa.string()),  # row_id, as the engine hashes it
        pa.field("condition", pa.string()),
        pa.field("seed", pa.string()),
        pa.field("painter", pa.string()),  # JSON: what paints it, with which settings
        pa.field("picture", pa.string()),  # sha256 of the true picture, where that is shown anew
        pa.field("size", pa.string()),  # width x height, pixels
        pa.field("layout", pa.string()),  # that is given; see write_layout
        pa.field("wanted", pa.string()),  # the row's own boxes, likewise
        pa.field("absent", pa.string()),  # a name to plant; empty: none
    ]
)
KEY = tuple(name for name in ASKED.names if name not in ("row_id", "caption"))


@dataclass(frozen=True)
class Case:
    """A held-out row: its caption, and its things' boxes in its picture as cropped."""

    row_id: int
    sha256: str
    crop: Crop
    example: Example
    absent: str  # a name of none of its things; empty where there is none

    @property
    def wanted(self) -> Layout:
        """Its own boxes."""
        return self.example.layout


@dataclass(frozen=True)
class Condition:
    """A way to paint the cases: by what, and with which boxes (None: this case is left out)."""

    name: str
    painter: Mapping[str, Any]
    layouts: Sequence[Layout | None]


def held_out(lake: Lake, params: Params, known: frozenset[str]) -> tuple[list[Case], list[Case]]:
    """The cases that are painted, of split test, and as many others, whose pictures these are
    compared with: the rows after them, and where these are too few, rows of split train.

    They are the first of all in an order of their own, so more captions are the same and others.
    What is planted is a name that is `known` to the detector, where the lake has such.
    """
    names = _frequent_names(lake, known)
    found = [*islice(_in_order(lake, params, "test", names), 2 * params.evaluate.captions)]
    cases, others = found[: params.evaluate.captions], found[params.evaluate.captions :]
    missing = len(cases) - len(others)
    with suppress(ParamsError):  # a lake may have nothing that trains
        others += islice(_in_order(lake, params, "train", names), missing)
    return cases, others


def _in_order(lake: Lake, params: Params, split: str, names: Sequence[str]) -> Iterator[Case]:
    """The cases of a split."""
    rows = choose_rows(lake, "train_adapter.where", _condition(params), split, COLUMNS)
    order = np.argsort(mix(rows.row_ids, 0), kind="stable")
    for first in range(0, len(order), READ_ROWS):
        yield from _cases(lake, params, rows, order[first : first + READ_ROWS].tolist(), names)


def _condition(params: Params) -> str:
    if not params.evaluate.sides_only:
        return params.train_adapter.where
    sides = ", ".join(f"'{side}'" for side in AXES)
    return (
        f"(\n{params.train_adapter.where}\n) and len(list_filter(relations, "
        f"lambda each: each.relation in ({sides}) and len(each.objects) = 1)) > 0"
    )


def _frequent_names(lake: Lake, known: frozenset[str]) -> list[str]:
    """Names that boxes have, the most frequent first; those that are `known`, if any is."""
    counted = lake.sql(
        "select name from (select unnest(objects).name as name from boxes) "
        "group by name order by count(*) desc, name"
    )["name"].to_pylist()
    return ([name for name in counted if name in known] or counted)[:MOST_NAMES]


def _cases(
    lake: Lake, params: Params, rows: TrainingRows, places: list[int], names: Sequence[str]
) -> Iterator[Case]:
    """The rows at these places that have a box in their crop."""
    encode, adapter = params.encode, params.train_adapter
    buckets = Buckets(encode.resolution, encode.step, encode.max_aspect)
    read = rows.read(places)
    sizes = _picture_sizes(lake, [row["sha256"] for row in read])
    for row in read:
        crop = buckets.of(*sizes[row["sha256"]])
        projected = crop.project(
            make_layout(row["objects"]),
            min_area=adapter.min_area,
            min_visible=adapter.min_visible,
        )
        example = example_of(row["caption"], write_layout(projected))
        if example.layout:
            absent = _absent(row["row_id"], example, names)
            yield Case(row["row_id"], row["sha256"], crop, example, absent)


def _picture_sizes(lake: Lake, digests: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Width and height in pixels."""
    found = lake.sql(
        "select sha256, width, height from images where sha256 in (select unnest($digests))",
        digests=[*digests],
    )
    return {row["sha256"]: (row["width"], row["height"]) for row in found.to_pylist()}


def _absent(row_id: int, example: Example, names: Sequence[str]) -> str:
    """The name that the row draws of those that nothing in it has; more names in the lake seldom
    change it."""
    present = {each.name for each in example.layout} | {*read_caption(example.caption).names}
    free = [
        name
        for name in names
        if name not in example.caption and not any(means_same(name, each) for each in present)
    ]
    return min(free, key=lambda name: h64(str(row_id), name), default="")


def conditions(
    cases: Sequence[Case], params: Params, adapter: str, planned: Sequence[Layout] | None
) -> list[Condition]:
    """All that evaluate asks for: `adapter` is its identity, `planned` the planner's layouts (None
    where there is no such condition). What a painter does not depend on is not in its settings, so
    another adapter paints nothing anew that is painted without it."""
    evaluate, encode = params.evaluate, params.encode
    base = {
        "base": model_identity(encode.model, encode.revision, "encode.revision"),
        "dtype": encode.dtype,
    }
    off = {**base, "steps": evaluate.steps, "guidance": evaluate.guidance}
    on = {
        **off,
        "adapter": adapter,
        "layout_guidance": evaluate.layout_guidance,
        "scale": evaluate.scale,
        "beta": evaluate.beta,
    }
    true, none = [case.wanted for case in cases], [()] * len(cases)
    found = [Condition(ON, on, true), Condition(OFF, off, none)]
    if planned is not None:
        found.append(Condition(PLANNED, on, planned))
    if SHUFFLED in evaluate.also:
        found.append(Condition(SHUFFLED, on, shuffled(true)))
    if RECONSTRUCTION in evaluate.also:
        found.append(Condition(RECONSTRUCTION, base, none))
    for param, values in SWEPT.items():
        for value in getattr(evaluate, values):
            if (name := swept(evaluate, param, value)) not in [each.name for each in found]:
                found.append(Condition(name, {**on, param: value}, true))
    return found


def swept(params: EvaluateParams, param: str, value: float) -> str:
    """The condition of a point of a sweep; `on` has one of them."""
    return ON if value == getattr(params, param) else f"{ON}@{param}={value:g}"


def shuffled(layouts: Sequence[Layout]) -> list[Layout | None]:
    """Each layout's names in the boxes of the next one that has as many, the first being next to
    the last; None where no other has. The order is that of the cases, which is chance."""
    counts = Counter(map(len, layouts))
    first = {count: [n for n, each in enumerate(layouts) if len(each) == count] for count in counts}
    found: list[Layout | None] = [None] * len(layouts)
    for places in first.values():
        for place, other in zip(places, [*places[1:], places[0]], strict=True):
            if place != other:
                pairs = zip(layouts[place], layouts[other], strict=True)
                found[place] = tuple(Placed(own.name, its.bbox) for own, its in pairs)
    return found


def asked_rows(
    cases: Sequence[Case], wanted: Sequence[Condition], seeds: Sequence[int]
) -> pa.Table:
    """What the stage is asked for, as ASKED in row_id order."""
    rows = [
        _row(case, condition, layout, seed)
        for condition in wanted
        for case, layout in zip(cases, condition.layouts, strict=True)
        if layout is not None
        for seed in (seeds[:1] if condition.name == RECONSTRUCTION else seeds)
    ]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["row_id"]), schema=ASKED)


def _row(case: Case, condition: Condition, layout: Layout, seed: int) -> dict[str, Any]:
    return {
        "row_id": case.row_id,
        "caption": case.example.caption,
        "row": str(case.row_id),
        "condition": condition.name,
        "seed": str(seed),
        "painter": json.dumps(condition.painter, sort_keys=True),
        "picture": case.sha256 if condition.name == RECONSTRUCTION else "",
        "size": f"{case.crop.width}x{case.crop.height}",
        "layout": write_layout(layout),
        "wanted": write_layout(case.wanted),
        "absent": case.absent,
    }


def example_of(caption: str, wanted: str) -> Example:
    """A caption, the boxes that `write_layout` wrote, and what the caption states."""
    return Example(caption, read_layout(wanted), read_caption(caption).relations)


def write_layout(layout: Layout) -> str:
    """A layout as JSON, [[name, [x1, y1, x2, y2]], ...], always the same of equal ones."""
    parts = [[each.name, [round(side, DIGITS) for side in each.bbox]] for each in layout]
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def read_layout(text: str) -> Layout:
    """What `write_layout` wrote, but for boxes that its digits left without area."""
    return tuple(
        Placed(name, (x1, y1, x2, y2))
        for name, (x1, y1, x2, y2) in json.loads(text)
        if x1 < x2 and y1 < y2
    )
