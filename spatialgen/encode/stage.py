"""Row stages encode_pictures and encode_texts: what the generator is given of each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import torch
from PIL import Image, ImageOps

from spatialgen.encode.buckets import Buckets, Crop
from spatialgen.encode.generator import Generator, PictureEncoder, TextEncoder
from spatialgen.encode.states import PromptStates
from spatialgen.grounding.pictures import Ahead, Pictures, UnreadableError
from spatialgen.lake import duck
from spatialgen.lake.ids import fingerprint, h64
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import part_columns
from spatialgen.lake.schemas import LATENTS, PROMPTS
from spatialgen.model_identity import model_identity
from spatialgen.params import ComputeParams, EncodeParams
from spatialgen.relations.swap import swap_sides
from spatialgen.rows.batcher import OK, OUTCOME, PERMANENT
from spatialgen.rows.stage import BatchFunction, RowStage

PICTURES_REVISION = 1  # raise it when equal params would give other latents
TEXTS_REVISION = 1  # likewise, of prompts
PICTURES_WINDOW, TEXTS_WINDOW = 64, 128  # rows: some seconds on a GPU
AHEAD_BATCHES = 2
NO_COLUMNS = pa.schema([])  # the memo says that there is an answer; it is in the table's own rows
LATENT_COLUMNS, PROMPT_COLUMNS = part_columns(LATENTS), part_columns(PROMPTS)


def pictures_stage(params: EncodeParams, compute: ComputeParams, images: Path) -> RowStage:
    """The row stage that makes rows of lake/latents from the pictures of `images`, a Lance table.

    ParamsError where the buckets do not fit the generator.
    """
    identity = _identity(params)
    Generator.read(params.model, params.revision).check_step(params.step)
    Buckets(params.resolution, params.step, params.max_aspect)
    fp = fingerprint(
        revision=PICTURES_REVISION,
        model=identity,
        dtype=params.dtype,
        resolution=params.resolution,
        step=params.step,
        max_aspect=params.max_aspect,
        mirrored=params.mirrored,
    )
    return RowStage(
        name="encode_pictures",
        fp=fp,
        key=("sha256",),
        schema=NO_COLUMNS,
        open=partial(open_pictures, params, compute, str(images)),
        parts=LATENT_COLUMNS,
        attempt=params.attempt,
        batch_rows=compute.batch_pictures,
        window_rows=PICTURES_WINDOW,
    )


def texts_stage(params: EncodeParams, compute: ComputeParams) -> RowStage:
    """The row stage that makes rows of lake/prompts."""
    fp = fingerprint(revision=TEXTS_REVISION, model=_identity(params), dtype=params.dtype)
    return RowStage(
        name="encode_texts",
        fp=fp,
        key=("text",),
        schema=NO_COLUMNS,
        open=partial(open_texts, params, compute),
        parts=PROMPT_COLUMNS,
        attempt=params.attempt,
        batch_rows=compute.batch_rows,
        window_rows=TEXTS_WINDOW,
    )


def _identity(params: EncodeParams) -> str:
    return model_identity(params.model, params.revision, "encode.revision")


def open_pictures(
    params: EncodeParams, compute: ComputeParams, images: str, device: str
) -> BatchFunction:
    """Load the autoencoder on `device`."""
    _set_threads(compute)
    return EncodePictures(
        Generator.read(params.model, params.revision).load_pictures(device, params.dtype),
        _identity(params),
        Pictures(lance.dataset(images)),
        Buckets(params.resolution, params.step, params.max_aspect),
        mirrored=params.mirrored,
        ahead=AHEAD_BATCHES * compute.batch_pictures,
        threads=compute.decode_threads,
    )


def open_texts(params: EncodeParams, compute: ComputeParams, device: str) -> BatchFunction:
    """Load the text encoders on `device`."""
    _set_threads(compute)
    encoder = Generator.read(params.model, params.revision).load_texts(device, params.dtype)
    return EncodeTexts(encoder, _identity(params))


def _set_threads(compute: ComputeParams) -> None:
    if compute.threads:
        torch.set_num_threads(compute.threads)


@dataclass(frozen=True)
class Cut:
    """A picture as the autoencoder takes it, and where in the stored one it is."""

    picture: Image.Image
    crop: Crop
    picture_width: int
    picture_height: int

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height of its bucket, pixels."""
        return self.crop.width, self.crop.height


class EncodePictures:
    """The batch function of stage encode_pictures: digests of pictures -> rows of lake/latents."""

    def __init__(
        self,
        encoder: PictureEncoder,
        identity: str,
        pictures: Pictures,
        buckets: Buckets,
        *,
        mirrored: bool,
        ahead: int,
        threads: int = 0,
    ) -> None:
        self.encoder, self.identity, self.device = encoder, identity, encoder.device
        self.pictures, self.buckets, self.mirrored = pictures, buckets, mirrored
        self.ahead: Ahead[Cut] = Ahead(self._cut, ahead=ahead, threads=threads)

    @property
    def waited_s(self) -> float:
        """Seconds that the autoencoder has waited for pictures."""
        return self.ahead.waited_s

    def expect(self, rows: pa.RecordBatch) -> None:
        """Begin to decode the pictures of these rows."""
        self.ahead.expect(rows["sha256"].to_pylist())

    def _cut(self, sha256: str) -> Cut:
        picture = self.pictures.show(sha256)
        crop = self.buckets.of(*picture.size)
        return Cut(crop.show(picture), crop, *picture.size)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row per picture, those of a bucket encoded together; a damaged one has an error."""
        keys, digests = batch["key"].to_pylist(), batch["sha256"].to_pylist()
        rows: list[dict[str, Any]] = []
        by_shape: dict[tuple[int, int], list[tuple[int, Cut]]] = {}
        for place, loaded in enumerate(self.ahead.take(digests)):
            if isinstance(loaded, Cut):
                by_shape.setdefault(loaded.shape, []).append((place, loaded))
            elif not isinstance(loaded, UnreadableError):
                raise loaded  # the machine's fault
            rows.append({"status": PERMANENT, "error": f"unreadable_picture: {loaded}"})
        for cuts in by_shape.values():
            encoded = self._encode([cut for _, cut in cuts])
            for (place, _), answer in zip(cuts, encoded, strict=True):
                question = {"latent_id": keys[place], "sha256": digests[place]}
                rows[place] = {**question, **answer, "status": OK}
        self.ahead.done(digests)
        return pa.RecordBatch.from_pylist(rows, schema=pa.schema([*LATENT_COLUMNS, *OUTCOME]))

    def _encode(self, cuts: Sequence[Cut]) -> list[dict[str, Any]]:
        """What lake/latents holds of pictures of one bucket."""
        pictures = [cut.picture for cut in cuts]
        latents = self.encoder.encode_pictures(pictures).half().numpy()  # [n, channels, h, w]
        mirrored = None
        if self.mirrored:
            reflected = [ImageOps.mirror(picture) for picture in pictures]
            mirrored = self.encoder.encode_pictures(reflected).half().numpy()
        channels, height, width = latents.shape[1:]
        return [
            {
                "encoder": self.identity,
                "latents": latents[place].tobytes(),
                "mirrored": None if mirrored is None else mirrored[place].tobytes(),
                "channels": channels,
                "height": height,
                "width": width,
                "picture_height": cut.picture_height,
                "picture_width": cut.picture_width,
                "scaled_height": cut.crop.scaled_height,
                "scaled_width": cut.crop.scaled_width,
                "top": cut.crop.top,
                "left": cut.crop.left,
                "target_height": cut.crop.height,
                "target_width": cut.crop.width,
            }
            for place, cut in enumerate(cuts)
        ]


class EncodeTexts:
    """The batch function of stage encode_texts: texts -> rows of lake/prompts."""

    def __init__(self, encoder: TextEncoder, identity: str) -> None:
        self.encoder, self.identity, self.device = encoder, identity, encoder.device

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row per text."""
        keys, texts = batch["key"].to_pylist(), batch["text"].to_pylist()
        encoded = self.encoder.encode_texts(texts)
        rows = [self._row(*each) for each in zip(keys, texts, encoded, strict=True)]
        return pa.RecordBatch.from_pylist(rows, schema=PROMPT_COLUMNS)

    def _row(self, key: int, text: str, prompt: PromptStates) -> dict[str, Any]:
        states, pooled = prompt.to_bytes()
        return {
            "prompt_id": key,
            "text": text,
            "encoder": self.identity,
            "states": states,
            "pooled": pooled,
            "pads": prompt.pads,
            "rows": len(prompt.states),
            "width": prompt.states.shape[1],
            "pooled_width": len(prompt.pooled),
            "dtype": prompt.dtype,
        }


def asked_pictures(lake: Lake) -> pa.Table:
    """row_id, sha256 of each row of lake/boxes, by row_id."""
    return lake["boxes"].dataset().to_table(columns=["row_id", "sha256"]).sort_by("row_id")


def asked_texts(lake: Lake, *, mirrored: bool) -> pa.Table:
    """row_id, text of each text that a training or a picture of lake/boxes may need: captions, what
    they say in a mirror if `mirrored`, names of boxed things, and '' (no caption).

    A text is no row of the lake: its own hash stands for row_id.
    """
    connection = duck.connect(spill=lake.spill)
    try:
        for name in ("boxes", "captions"):
            connection.register(name, lake[name].dataset())
        captions, names = (
            [text for (text,) in connection.execute(query).fetchall()]
            for query in (
                "select distinct caption from captions semi join boxes using (row_id)",
                "select distinct unnest(objects).name from boxes",
            )
        )
    finally:
        connection.close()
    texts = {"", *captions, *names}
    if mirrored:
        texts |= {swapped for caption in captions if (swapped := swap_sides(caption)) is not None}
    rows = sorted((h64(text), text) for text in texts)
    row_ids, ordered = zip(*rows, strict=True)
    return pa.table({"row_id": pa.array(row_ids, pa.int64()), "text": pa.array(ordered)})
