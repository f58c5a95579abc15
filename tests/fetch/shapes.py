"""Pictures of coloured shapes, another one for every seed."""

import io
import random

from PIL import Image, ImageDraw

SIZES = ((320, 240), (240, 320), (288, 288), (352, 240))
QUALITY = 85


def draw_picture(seed: int, size: tuple[int, int] | None = None) -> bytes:
    """A JPEG; equal seeds give equal bytes (with one version of Pillow)."""
    rng = random.Random(seed)
    width, height = size or rng.choice(SIZES)
    top, bottom = _colour(rng), _colour(rng)
    ground = Image.new("RGB", (1, 2))
    ground.putpixel((0, 0), top)
    ground.putpixel((0, 1), bottom)
    image = ground.resize((width, height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(2, 5)):
        x, y = rng.uniform(-0.1, 0.8) * width, rng.uniform(-0.1, 0.8) * height
        box = (x, y, x + rng.uniform(0.1, 0.5) * width, y + rng.uniform(0.1, 0.5) * height)
        shape = rng.choice([draw.ellipse, draw.rectangle])
        shape(box, fill=_colour(rng), outline=_colour(rng), width=3)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)
