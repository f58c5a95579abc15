"""From models' texts, or given boxes, to lake/boxes: clean boxes, the referee's verdict,
self-agreement."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from spatialgen.errors import LakeError
from spatialgen.grounding.answers import Answer, normalise, tidy
from spatialgen.grounding.families import FAMILIES, Mention, says_nothing
from spatialgen.grounding.pictures import View, as_seen_plainly
from spatialgen.grounding.scores import match
from spatialgen.grounding.stage import SCHEMA
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import BOXES
from spatialgen.params import AnnotateParams
from spatialgen.relations.referee import Verdict, judge, spatial_agree
from spatialgen.rows.engine import rounds
from spatialgen.rows.stage import RowStage

ROUND_ROWS = 100_000  # in memory at once, with the models' texts
BATCH_ROWS = 8192
SAID = 120  # characters of an answer that an error quotes

Row = Mapping[str, Any]
Given = Mapping[int, Mapping[str, Sequence[Sequence[float]]]]
"""Boxes [x1, y1, x2, y2] in [0, 1] by row_id and name."""
NONE_GIVEN: Given = MappingProxyType({})


@dataclass(frozen=True)
class Found:
    """What is published of a row: clean boxes, or why there are none."""

    answer: Answer
    error: str | None = None
    second: Answer | None = None  # of the second look, where there was one


def publish_boxes(
    lake: Lake,
    stage: RowStage,
    asked: Mapping[View, pa.Table],
    params: AnnotateParams,
    given: Given = NONE_GIVEN,
) -> Manifest:
    """Publish lake/boxes: every row with a picture, by the store's answers for each view, or with
    the boxes that are given."""
    return lake.publish(BOXES, _batches(box_rows(lake, stage, asked, params, given)))


def box_rows(
    lake: Lake,
    stage: RowStage,
    asked: Mapping[View, pa.Table],
    params: AnnotateParams,
    given: Given = NONE_GIVEN,
) -> Iterator[dict[str, Any]]:
    """The rows of lake/boxes for `asked`, whose views hold the same rows in the same order."""
    views = [answered_rounds(lake, stage, table) for table in asked.values()]
    for parts in zip(*views, strict=True):
        for looks in zip(*(part.to_pylist() for part in parts), strict=True):
            boxes = given.get(looks[0]["row_id"])
            found = read_looks(looks, params) if boxes is None else take_given(boxes, params)
            yield _box_row(looks, found)


def answered_rounds(lake: Lake, stage: RowStage, asked: pa.Table) -> Iterator[pa.Table]:
    """`asked` with its answers (`stage`'s columns, status, error), in row_id order, a stretch at a
    time; LakeError where an answer is missing."""
    memo = lake.memo(stage.name, stage.schema)
    answers = ", ".join(f"answers.{name}" for name in (*SCHEMA.names, "status", "error"))
    connection = duck.connect()
    try:
        for part in rounds(stage, asked, ROUND_ROWS, ["caption", "names"]):
            connection.register("asked", part)
            connection.register("answers", memo.answers(part["key"]))
            found = connection.sql(
                f"select asked.*, {answers} from asked left join answers using (key) "
                "order by row_id"
            ).to_arrow_table()
            lacking = connection.execute(
                "select count(*) from asked anti join answers using (key) where key is not null"
            ).fetchall()
            if lacking[0][0]:
                raise LakeError(
                    f"the store lacks the answers of {lacking[0][0]} of {part.num_rows} rows: "
                    'somebody removed rows from it meanwhile; run "dvc repro annotate" again'
                )
            yield found
    finally:
        connection.close()


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    held: list[dict[str, Any]] = []
    for row in rows:
        held.append(row)
        if len(held) == BATCH_ROWS:
            yield pa.RecordBatch.from_pylist(held, schema=BOXES.schema)
            held = []
    yield pa.RecordBatch.from_pylist(held, schema=BOXES.schema)


def _box_row(looks: Sequence[Row], found: Found) -> dict[str, Any]:
    """The row of lake/boxes for one row, with what was found in its looks, or is given."""
    first = looks[0]
    objects = [
        {"name": name, "bbox": box, "self_iou": score}
        for name, boxes in found.answer.objects.items()
        for box, score in zip(boxes, _agreement(name, boxes, found.second), strict=True)
    ]
    scores = [each["self_iou"] for each in objects if each["self_iou"] is not None]
    verdicts = judge(first["caption"], found.answer.objects)
    return {
        "row_id": first["row_id"],
        "sha256": first["sha256"],
        "objects": objects,
        "absent": found.answer.absent,
        "relations": [_relation(verdict) for verdict in verdicts],
        "spatial_agree": spatial_agree(verdicts),
        "self_iou": min(scores, default=None),
        "problems": found.answer.problems,
        "raw": [_raw(look) for look in looks if look["text"] is not None],
        "error": found.error,
    }


def take_given(boxes: Mapping[str, Sequence[Sequence[float]]], params: AnnotateParams) -> Found:
    """The given boxes as those of an answer that names just them."""
    mentions: list[Mention] = [(name, [*bbox]) for name, bboxes in boxes.items() for bbox in bboxes]
    names = [*dict.fromkeys(map(normalise, boxes))]
    sizes = {"min_area": params.min_area, "merge_iou": params.merge_iou}
    return Found(tidy(mentions, names, "", **sizes))


def read_looks(looks: Sequence[Row], params: AnnotateParams) -> Found:
    """The first look's boxes, and the second's where there is one."""
    answer, error = read_look(looks[0], params)
    second = None
    if len(looks) > 1:
        second, failed = read_look(looks[1], params)
        if failed is not None:
            second = None
            answer.problems.append("no_second_look")
    return Found(answer, error, second)


def read_look(look: Row, params: AnnotateParams) -> tuple[Answer, str | None]:
    """The clean boxes of one answered row, in the plain picture's coordinates; and why there are
    none, where none could be read."""
    if look["question"] is None:
        return Answer(), "no_names: the caption names nothing that could be boxed"
    if look["text"] is None:
        return Answer(), look["error"]
    read = FAMILIES[look["family"]].read
    mentions: list[Mention] = [
        (name, box and as_seen_plainly(box, look["view"]))
        for name, box in read(look["text"], look["seen_width"], look["seen_height"])
    ]
    if not mentions and says_nothing(look["text"]):
        mentions = [(name, None) for name in look["names"]]
    answer = tidy(
        mentions,
        look["names"],
        look["caption"],
        min_area=params.min_area,
        merge_iou=params.merge_iou,
    )
    if not look["finished"]:
        answer.problems.append("truncated")
    if not mentions:
        return answer, f"unreadable_answer: {' '.join(look['text'].split())[:SAID]!r}"
    return answer, None


def _agreement(
    name: str, boxes: Sequence[Sequence[float]], second: Answer | None
) -> list[float | None]:
    """IoU of each box with the second look's box of this name, 0 where it has none."""
    if second is None:
        return [None] * len(boxes)
    overlaps = {i: overlap for i, _, overlap in match(boxes, second.objects.get(name, ()))}
    return [overlaps.get(i, 0.0) for i in range(len(boxes))]


def _relation(verdict: Verdict) -> dict[str, Any]:
    relation = verdict.relation
    return {
        "relation": relation.kind,
        "subject": relation.subject,
        "objects": list(relation.objects),
        "agrees": verdict.agrees,
    }


def _raw(look: Row) -> dict[str, Any]:
    return {name: look[name] for name in ("view", *SCHEMA.names)}
