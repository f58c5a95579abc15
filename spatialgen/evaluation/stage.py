"""Row stage evaluate: a caption, a layout and a painter -> a picture, and what two judges say."""

import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from spatialgen.encode.generator import decode_latents
from spatialgen.encode.tables import Latents
from spatialgen.errors import InputError
from spatialgen.evaluation.asked import KEY, example_of, read_layout
from spatialgen.evaluation.judges import PROMPT, Judges, Look
from spatialgen.evaluation.verdicts import judge_picture
from spatialgen.lake.ids import fingerprint
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import part_columns
from spatialgen.lake.schemas import GENERATIONS
from spatialgen.layouts import Layout
from spatialgen.model_identity import model_identity
from spatialgen.params import ComputeParams, EvaluateParams, Params
from spatialgen.pipelines.loading import load_pipeline
from spatialgen.planner.scores import Example
from spatialgen.rows.batcher import OK, OUTCOME
from spatialgen.rows.stage import BatchFunction, RowStage
from spatialgen.training.order import mix

REVISION = 1  # raise it when equal params would give other pictures or verdicts
WINDOW_ROWS = 64  # some minutes of a large generator, some seconds of a small one
MEMO = pa.schema([])  # all of an answer is a row of lake/generations
PAINTERS = 256  # in a window, at most
NOISE = 2  # sets its seeds apart from those of trainings
COLUMNS = part_columns(GENERATIONS)

Row = Mapping[str, Any]


def evaluate_stage(lake: Lake, params: Params, adapter: Path) -> RowStage:
    """The row stage that paints with the adapter of a folder and asks both judges.

    A question is a caption's row, a condition, a seed, a painter with its settings, and the boxes
    that are given and wanted; so what none of these changes is painted once.
    """
    evaluate = params.evaluate
    fp = fingerprint(
        revision=REVISION,
        prompt=PROMPT,
        annotator=model_identity(
            evaluate.annotator, evaluate.annotator_revision, "evaluate.annotator_revision"
        ),
        detector=model_identity(evaluate.detector, None, "evaluate.detector"),
    )
    latents = str(lake.path("latents"))
    return RowStage(
        name="evaluate",
        fp=fp,
        key=KEY,
        schema=MEMO,
        open=partial(
            open_evaluation, evaluate, params.compute, adapter, params.encode.dtype, latents
        ),
        parts=COLUMNS,
        carried=("caption",),
        attempt=evaluate.attempt,
        batch_rows=params.compute.batch_pictures,
        window_rows=WINDOW_ROWS,
        sizes=_sizes,
    )


def adapter_identity(adapter: Path) -> str:
    """What makes the adapter of a folder this one; InputError where there is no folder."""
    if not adapter.is_dir():
        raise InputError(f'there is no {adapter}; run "dvc repro train_adapter", or dvc checkout')
    return model_identity(str(adapter), None, "train_adapter")


def _sizes(rows: pa.RecordBatch) -> NDArray[np.int64]:
    """Pixels; among pictures of one size the number of the painter, so that what is painted alike
    shares a batch."""
    _, painters = np.unique(rows["painter"].to_pylist(), return_inverse=True)
    pixels = [np.prod(_size(text)) for text in rows["size"].to_pylist()]
    sizes: NDArray[np.int64] = np.array(pixels, np.int64) * PAINTERS + painters % PAINTERS
    return sizes


def _size(text: str) -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = map(int, text.split("x"))
    return width, height


def open_evaluation(
    params: EvaluateParams,
    compute: ComputeParams,
    adapter: Path,
    dtype: str,
    latents: str,
    device: str,
) -> BatchFunction:
    """Load the pipeline and the judges on `device`."""
    if compute.threads:
        torch.set_num_threads(compute.threads)
    judges = Judges.from_params(params, device)
    # Beside the judges, a generator of several parts has room for one of them at a time.
    pipe = load_pipeline(adapter, device=device, dtype=dtype, offload=device.startswith("cuda"))
    return Evaluate(pipe, judges, Latents(latents))


class Evaluate:
    """The batch function of stage evaluate."""

    def __init__(self, pipe: Any, judges: Judges, latents: Latents) -> None:
        self.pipe, self.judges, self.latents = pipe, judges, latents
        self.device = str(pipe.device)
        pipe.set_progress_bar_config(disable=True)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A row of lake/generations for each question."""
        rows = batch.to_pylist()
        examples = [example_of(row["caption"], row["wanted"]) for row in rows]
        painted = self._painted(rows)
        looks = self.judges.look(
            [picture for picture, _ in painted],
            [
                names_of(example, read_layout(row["layout"]))
                for example, row in zip(examples, rows, strict=True)
            ],
            [row["absent"] for row in rows],
        )
        answers = [
            self._answer(row, example, picture, seconds, look)
            for row, example, (picture, seconds), look in zip(
                rows, examples, painted, looks, strict=True
            )
        ]
        return pa.RecordBatch.from_pylist(answers, schema=pa.schema([*COLUMNS, *OUTCOME]))

    def _painted(self, rows: Sequence[Row]) -> list[tuple[Image.Image, float]]:
        """Each row's picture, and its share of the seconds that its painting took."""
        found: dict[int, tuple[Image.Image, float]] = {}
        order = sorted(range(len(rows)), key=lambda n: (rows[n]["painter"], rows[n]["size"]))
        for _, places in groupby(order, key=lambda n: (rows[n]["painter"], rows[n]["size"])):
            group = [*places]
            started = time.perf_counter()
            pictures = self._paint([rows[n] for n in group])
            seconds = (time.perf_counter() - started) / len(group)
            found |= {n: (each, seconds) for n, each in zip(group, pictures, strict=True)}
        return [found[n] for n in range(len(rows))]

    def _paint(self, rows: Sequence[Row]) -> list[Image.Image]:
        """Pictures of rows with the same painter and size."""
        settings = json.loads(rows[0]["painter"])
        if "steps" not in settings:
            return self._reconstruct([row["picture"] for row in rows])
        width, height = _size(rows[0]["size"])
        layouts = [read_layout(row["layout"]) for row in rows]
        given = {
            "layout_phrases": [[each.name for each in layout] for layout in layouts],
            "layout_boxes": [[[*each.bbox] for each in layout] for layout in layouts],
            "layout_scale": settings.get("scale"),
            "layout_guidance_scale": settings.get("layout_guidance"),
            "layout_scheduled_sampling_beta": settings.get("beta"),
        }
        with _kept(self.pipe.vae):  # which the pipeline casts
            pictures: list[Image.Image] = self.pipe(
                [row["caption"] for row in rows],
                height=height,
                width=width,
                num_inference_steps=settings["steps"],
                guidance_scale=settings["guidance"],
                generator=[noise_of(row["row_id"], int(row["seed"])) for row in rows],
                **(given if "adapter" in settings else {}),
            ).images
        return pictures

    @torch.inference_mode()
    def _reconstruct(self, digests: Sequence[str]) -> list[Image.Image]:
        """What the autoencoder makes of the true pictures' latents."""
        vae = self.pipe.vae
        latents = torch.stack([each.latents for each in self.latents.take(digests)])
        with _kept(vae):
            if vae.dtype == torch.float16 and vae.config.force_upcast:  # as SDXL's does
                vae.to(torch.float32)
            pixels = decode_latents(vae, latents)
        pictures: list[Image.Image] = self.pipe.image_processor.postprocess(pixels)
        return pictures

    def _answer(
        self, row: Row, wanted: Example, picture: Image.Image, seconds: float, look: Look
    ) -> dict[str, Any]:
        known, absent = self.judges.known, row["absent"]
        return {
            "generation_id": row["key"],
            "row_id": row["row_id"],
            "condition": row["condition"],
            "seed": int(row["seed"]),
            "caption": wanted.caption,
            "painter": row["painter"],
            "layout": [{**asdict(each), "score": None} for each in read_layout(row["layout"])],
            "wanted": [{**asdict(each), "score": None} for each in wanted.layout],
            "image": as_png(picture),
            "height": picture.height,
            "width": picture.width,
            "absent": absent,
            "annotator": [asdict(each) for each in look.annotator],
            "detector": [asdict(each) for each in look.detector],
            "by_annotator": judge_picture(wanted, look.annotator, absent),
            "by_detector": judge_picture(
                wanted, look.detector, absent if absent in known else "", known
            ),
            "seconds": seconds,
            "status": OK,
        }


@contextmanager
def _kept(vae: Any) -> Iterator[None]:
    """The autoencoder keeps its dtype, also where the block runs out of memory in another one."""
    dtype = vae.dtype
    try:
        yield
    finally:
        if vae.dtype != dtype:
            vae.to(dtype)


def names_of(example: Example, given: Layout) -> list[str]:
    """What the annotator is asked for: the names of the row's own boxes, of those that were given,
    and of the stated positions."""
    related = (name for each in example.relations for name in (each.subject, *each.objects))
    boxed = (each.name for layout in (example.layout, given) for each in layout)
    return list(dict.fromkeys([*boxed, *related]))


def noise_of(row_id: int, seed: int) -> torch.Generator:
    """The source of a picture's first noise: the same under all conditions, and on all devices."""
    (state,) = mix(np.array([row_id]), seed, NOISE)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def as_png(picture: Image.Image) -> bytes:
    """The picture's file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
