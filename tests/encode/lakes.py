"""A lake with pictures and boxes, and stage encode on it."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from spatialgen.encode.stage import asked_pictures, asked_texts, pictures_stage, texts_stage
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import PartStore
from spatialgen.lake.schemas import BOXES, LATENTS, PROMPTS
from spatialgen.params import EncodeParams, load_params
from spatialgen.rows.engine import Counts, answer_rows
from spatialgen.rows.publish import Published, publish_parts
from spatialgen.rows.runner import Inline
from tests.conftest import REPOSITORY, compute_params
from tests.grounding.annotating import fill
from tests.tables import publish

COMPUTE = compute_params(device="cpu", batch_pictures=4, batch_rows=4, threads=1)
CAPTIONS = ["小猫在箱子的左边", "红色的汽车", "箱子在小猫右边", "左右两边各有一只狗"]
SIZES = [(160, 120), (128, 128), (90, 200), (130, 128)]


def params_of(model: object, **changed: Any) -> EncodeParams:
    """The repository's section with another model."""
    section = load_params(REPOSITORY / "params.yaml").encode
    return section.model_copy(update={"model": str(model), **changed})


def noise(number: int, size: tuple[int, int] = (128, 128)) -> bytes:
    """A PNG file whose pixels differ everywhere."""
    width, height = size
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def fill_boxed(lake: Lake, captions: Sequence[str], files: Sequence[bytes]) -> dict[str, str]:
    """Rows with these captions and files, and a box named 猫 each; sha256 by caption."""
    fill(lake, captions, files)
    rows = lake["downloads"].dataset().to_table(columns=["row_id", "sha256"]).to_pylist()
    facts: dict[str, Any] = {"absent": [], "relations": [], "problems": [], "raw": []}
    objects = [{"name": "猫", "bbox": [0.1, 0.2, 0.5, 0.6], "self_iou": None}]
    publish(lake, BOXES, [{**row, **facts, "objects": objects} for row in rows])
    texts = lake["captions"].dataset().to_table(columns=["row_id", "caption"]).to_pylist()
    digests = {row["row_id"]: row["sha256"] for row in rows}
    return {row["caption"]: digests[row["row_id"]] for row in texts}


def four_rows(lake: Lake) -> dict[str, str]:
    """Four rows of different shapes; sha256 by caption."""
    return fill_boxed(lake, CAPTIONS, [noise(n, size) for n, size in enumerate(SIZES)])


def encode(lake: Lake, params: EncodeParams) -> tuple[list[Counts], list[Published]]:
    """Run the stage: counts and tables of pictures, then of texts."""
    done, published = [], []
    for spec, stage, asked in (
        (LATENTS, pictures_stage(params, COMPUTE, lake.path("images")), asked_pictures(lake)),
        (PROMPTS, texts_stage(params, COMPUTE), asked_texts(lake, mirrored=params.mirrored)),
    ):
        parts = PartStore(lake, spec)
        done.append(answer_rows(lake, stage, asked, Inline("cpu"), attachments=parts, quiet=True))
        published.append(publish_parts(lake, spec, stage, asked))
    return done, published
