"""Sprites, cut to their visible extent and scaled."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from spatialgen.sample.world.classes import THINGS

SPRITES = Path(__file__).parent / "sprites"
VISIBLE_ALPHA = 40  # of 255: fainter edges are not seen, and not boxed


@dataclass(frozen=True)
class Cutout:
    """A sprite whose visible extent is its whole canvas."""

    image: Image.Image  # RGBA
    mirrored: Image.Image
    visible: npt.NDArray[np.bool_]  # [height, width]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size


@cache
def _sprite(name: str) -> Image.Image:
    with Image.open(SPRITES / THINGS[name].sprite) as file:
        image = file.convert("RGBA")
    return image.crop(_visible(image).getbbox())


def _visible(image: Image.Image) -> Image.Image:
    return image.getchannel("A").point(lambda alpha: 255 * (alpha > VISIBLE_ALPHA))


@lru_cache(maxsize=4096)  # more than all classes in all sizes
def cut_out(name: str, longest: int) -> Cutout:
    """The sprite of a class, its longest side about `longest` pixels (edges that fade are cut)."""
    sprite = _sprite(name)
    scale = longest / max(sprite.size)
    width, height = (max(1, round(side * scale)) for side in sprite.size)
    image = sprite.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    image = image.crop(_visible(image).getbbox())
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return Cutout(image, mirrored, np.asarray(_visible(image)) > 0)
