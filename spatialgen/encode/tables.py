"""lake/latents and lake/prompts as a training reads them, a batch at a time, in any process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spatialgen.encode.buckets import Crop
from spatialgen.encode.states import PromptStates
from spatialgen.errors import LakeError
from spatialgen.lake.keyed import KeyedRows

CROP = {  # columns by field
    "scaled_width": "scaled_width",
    "scaled_height": "scaled_height",
    "left": "left",
    "top": "top",
    "width": "target_width",
    "height": "target_height",
}
SHAPE = ("channels", "height", "width")
PICTURE = ("picture_width", "picture_height")
LATENT_FACTS = (*SHAPE, *PICTURE, *CROP.values())
PROMPT_FACTS = ("pads", "rows", "dtype")


@dataclass(frozen=True, eq=False)
class Latent:
    """A picture as the UNet works on it."""

    latents: Tensor  # [channels, h, w] float32
    mirrored: Tensor | None  # of the picture as in a mirror
    crop: Crop
    picture_width: int  # pixels of the stored picture
    picture_height: int


class Latents:
    """The rows of a lake/latents."""

    def __init__(self, path: Path | str) -> None:
        self.rows = KeyedRows(str(path), "sha256", LATENT_FACTS)

    @property
    def encoder(self) -> str:
        """Identity of the generator whose autoencoder made them."""
        return _encoder(self.rows.path)

    def take(self, digests: Sequence[str]) -> list[Latent]:
        """Of the pictures with these sha256, in their order; LakeError where one is not there."""
        columns = [*LATENT_FACTS, "latents", "mirrored"]
        return [
            Latent(
                _tensor(row["latents"], [row[name] for name in SHAPE]),
                row["mirrored"] and _tensor(row["mirrored"], [row[name] for name in SHAPE]),
                Crop(**{name: row[column] for name, column in CROP.items()}),
                row["picture_width"],
                row["picture_height"],
            )
            for row in self.rows.take(digests, columns)
        ]

    def known(self, digests: Sequence[str]) -> NDArray[np.bool_]:
        """Of each picture, whether it has latents: one that cannot be decoded has none."""
        return self.rows.has(digests)

    def shapes(self, digests: Sequence[str]) -> NDArray[np.int64]:
        """A number for the shape of each picture's latents: equal shapes can share a batch."""
        columns = self.rows.table(digests, ["height", "width"])
        shapes = np.stack([columns[name].to_numpy() for name in ("height", "width")], axis=1)
        _, numbers = np.unique(shapes, axis=0, return_inverse=True)
        return numbers.reshape(-1).astype(np.int64)


class Prompts:
    """The rows of a lake/prompts."""

    def __init__(self, path: Path | str) -> None:
        self.rows = KeyedRows(str(path), "text", PROMPT_FACTS)

    @property
    def encoder(self) -> str:
        """Identity of the generator whose text encoders made them."""
        return _encoder(self.rows.path)

    def known(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Of each text, whether it has states: one that cannot be encoded has none."""
        return self.rows.has(texts)

    def take(self, texts: Sequence[str]) -> list[PromptStates]:
        """Of these texts, in their order; LakeError where one is not there."""
        columns = [*PROMPT_FACTS, "states", "pooled"]
        return [PromptStates.from_bytes(**row) for row in self.rows.take(texts, columns)]


def _encoder(path: str) -> str:
    rows = lance.dataset(path).head(1, columns=["encoder"])
    if not rows.num_rows:
        raise LakeError(f'{path} has no rows; run "dvc repro encode" on a lake with boxes')
    return str(rows["encoder"][0])


def _tensor(content: bytes, shape: Sequence[int]) -> Tensor:
    values = np.frombuffer(content, np.float16).astype(np.float32)
    return torch.from_numpy(values.reshape(shape))
