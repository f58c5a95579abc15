"""A lake with pictures, and stage annotate on it, with an oracle in place of a trained model."""

import hashlib
import io
from typing import Any

import pyarrow as pa
from PIL import Image

from spatialgen.grounding.annotator import BoxAnnotator, Written
from spatialgen.grounding.gold import read_given
from spatialgen.grounding.pictures import (
    Pictures,
)
from spatialgen.grounding.publish import publish_boxes
from spatialgen.grounding.qwen2_vl import write_answer
from spatialgen.grounding.stage import (
    Annotate,
    annotate_stage,
    asked_rows,
    with_question,
)
from spatialgen.lake.ids import row_id
from spatialgen.lake.schemas import CAPTIONS, DOWNLOADS, IMAGES
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from tests.conftest import compute_params, picture_table

LEFT, RIGHT = [0.1, 0.3, 0.4, 0.7], [0.6, 0.3, 0.9, 0.7]
SAID: list[tuple[str, dict[str, list[list[float]]]]] = [
    ("一只小猫在箱子的左边", {"小猫": [LEFT], "箱子": [RIGHT]}),
    ("箱子左边有一只小猫", {"小猫": [RIGHT], "箱子": [LEFT]}),
    ("灯笼在左上角", {"灯笼": []}),
    ("左边", {}),
]


def picture(shade: int, size=(160, 120)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(lake, captions, files):
    """A lake whose row of each caption has the file beside it."""
    store = lake.stored("images", IMAGES.schema)
    table = picture_table(list(dict.fromkeys(files)))
    store.append(table)
    lake.publish_blobs(IMAGES, store.open(), table.select(["sha256"]))
    rows = sorted(
        (
            row_id(f"http://a/{n}", caption),
            f"http://a/{n}",
            caption,
            hashlib.sha256(file).hexdigest(),
        )
        for n, (caption, file) in enumerate(zip(captions, files, strict=True))
    )
    keys, urls, texts, digests = map(list, zip(*rows, strict=True))
    count = len(rows)
    judged = [keys, urls, texts, ["strong"] * count, [1.0] * count, [0.0] * count, [0.0] * count,
              ["tiny"] * count, [None] * count]  # fmt: skip
    arrays = [pa.array(v, f.type) for v, f in zip(judged, CAPTIONS.schema, strict=True)]
    lake.publish(CAPTIONS, [pa.RecordBatch.from_arrays(arrays, schema=CAPTIONS.schema)])
    fetched = [keys, digests, ["ok"] * count, [None] * count, [200] * count, ["a"] * count]
    arrays = [pa.array(v, f.type) for v, f in zip(fetched, DOWNLOADS.schema, strict=True)]
    lake.publish(DOWNLOADS, [pa.RecordBatch.from_arrays(arrays, schema=DOWNLOADS.schema)])
    return dict(zip(texts, keys, strict=True))


class Oracle(BoxAnnotator):
    """A real tiny model whose answers are replaced by what SAID knows; counts what it is asked."""

    room = 10**9

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: list[str] = []

    def ask(self, pictures, questions):
        if len(questions) > self.room:
            raise MemoryError("out of memory")
        super().ask(pictures, questions)  # the real thing runs, and must
        self.asked += questions
        return [Written(self.said(question), True) for question in questions]

    def said(self, question):
        known = {name: boxes for _, told in SAID for name, boxes in told.items()}
        return write_answer({n: b for n, b in known.items() if n in question})


COMPUTE = compute_params(device="cpu", batch_pictures=4, threads=1)


def annotate(lake, params, annotator=None):
    """Run the stage; the counts by view."""
    given = read_given(params)
    stage = annotate_stage(params, COMPUTE, lake.path("images"))
    if annotator is not None:
        pictures = Pictures(lake["images"].dataset())
        opened = Annotate(annotator, pictures, ahead=8)
        stage = type(stage)(**vars(stage) | {"open": lambda device: opened})
    asked = asked_rows(lake, params, given)
    counts = {
        view: answer_rows(lake, stage, with_question(rows), Inline("cpu"), quiet=True)
        for view, rows in asked.items()
    }
    publish_boxes(lake, stage, asked, params, given)
    return stage, asked, counts


def oracle(params):
    return Oracle.from_pretrained(params.model, device="cpu", max_new_tokens=params.max_new_tokens)


def boxes(lake):
    return {row["row_id"]: row for row in lake["boxes"].dataset().to_table().to_pylist()}
