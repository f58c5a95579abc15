"""Drawing a scene of the sample world, and the boxes of what is visible in it."""

import io
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from spatialgen.sample.world.classes import STUFF
from spatialgen.sample.world.cutouts import cut_out
from spatialgen.sample.world.scenes import SIDE, Box, Scene

QUALITY = 90
WALL = ((236, 228, 214), (216, 206, 190))  # behind scenes without regions
TILE = 256  # pixels of the textures that regions are cut from

Pixels = npt.NDArray[np.uint8]  # [SIDE, SIDE, 3]


def draw(scene: Scene) -> Image.Image:
    """The picture, RGB, SIDE x SIDE. Equal scenes give equal pixels (with one Pillow)."""
    image = Image.fromarray(_ground(scene))
    for thing in scene.things:
        cutout = cut_out(thing.name, thing.longest)
        sprite = cutout.mirrored if thing.mirrored else cutout.image
        image.paste(sprite, (int(thing.box.left), int(thing.box.top)), sprite)
    return image


def as_jpeg(image: Image.Image) -> bytes:
    """The file that is served."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def visible_boxes(scene: Scene) -> list[Box]:
    """Per thing of the scene, the tight box of its pixels that nothing hides."""
    boxes = [thing.box for thing in scene.things]
    seen = None  # drawn once, where something may hide something
    for i, box in enumerate(boxes):
        if any(box.common(other.box) > 0 for other in scene.things[i + 1 :]):
            seen = visible_pixels(scene) if seen is None else seen
            boxes[i] = _extent(seen == i)
    return boxes


def visible_pixels(scene: Scene) -> npt.NDArray[np.int8]:
    """[SIDE, SIDE] number of the thing that is seen there, -1 where none is."""
    canvas = np.full((SIDE, SIDE), -1, np.int8)
    for number, thing in enumerate(scene.things):
        visible = cut_out(thing.name, thing.longest).visible
        top, left = int(thing.box.top), int(thing.box.left)
        window = canvas[top : top + visible.shape[0], left : left + visible.shape[1]]
        window[visible[:, ::-1] if thing.mirrored else visible] = number
    return canvas


def _extent(seen: npt.NDArray[np.bool_]) -> Box:
    columns, rows = np.flatnonzero(seen.any(0)), np.flatnonzero(seen.any(1))
    if not len(columns):
        return Box(0, 0, 0, 0)
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _ground(scene: Scene) -> Pixels:
    pixels = np.empty((SIDE, SIDE, 3), np.int16)
    pixels[:] = _gradient(*WALL, SIDE)
    for k, (name, box) in enumerate(scene.stuff):
        top, bottom = int(box.top), int(box.bottom)
        offset = (scene.texture >> (3 * k)) % (TILE - SIDE)
        tile = _texture(name)[offset : offset + bottom - top, offset : offset + SIDE, None]
        np.add(_gradient(*STUFF[name].colours, bottom - top), tile, out=pixels[top:bottom])
    pixels += np.array([(scene.texture >> shift) % 25 - 12 for shift in (5, 11, 17)], np.int16)
    np.maximum(pixels, 0, out=pixels)
    return np.minimum(pixels, 255, out=pixels).astype(np.uint8)


@cache  # few colours x SIDE heights
def _gradient(
    top: tuple[int, int, int], bottom: tuple[int, int, int], rows: int
) -> npt.NDArray[np.int16]:
    """[rows, 1, 3] from one colour to the other."""
    return np.linspace(top, bottom, rows).astype(np.int16)[:, None]


@cache
def _texture(name: str) -> npt.NDArray[np.int16]:
    """[TILE, TILE] brightness to add: grain, drawn out as the stuff is; waves, clouds, lanes."""
    rng = np.random.default_rng(sorted(STUFF).index(name))
    grain = rng.standard_normal((TILE, TILE))
    rows, columns = np.mgrid[:TILE, :TILE]
    if name == "草地":  # blades
        grain = (grain + np.roll(grain, 1, 0) + np.roll(grain, 2, 0)) / 1.7
    elif name == "大海":  # waves
        grain = np.sin(rows / 2.2 + 1.3 * np.sin(columns / 9)) + 0.3 * grain
    elif name == "天空":  # haze
        grain = np.sin(columns / 21 + rows / 37) * np.cos(rows / 13 - columns / 50) * 2.5
    return (grain * STUFF[name].grain / 2).astype(np.int16)
