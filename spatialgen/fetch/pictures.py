"""What a picture's bytes say about it. Neither its URL nor its headers are asked."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from spatialgen.fetch.reasons import Reason

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
NAMES = {"mpo": "jpeg"}  # a JPEG with more pictures behind it, as phones and cameras write
HASH_PIXELS = 25_000_000  # larger pictures get no hash: decoding them takes hundreds of MB
HASH_SIDE = 32  # of the small grey picture that is hashed
TAIL = 64  # bytes that may follow the end of a picture in a file that was saved carelessly
warnings.simplefilter("error", Image.DecompressionBombWarning)  # Pillow's limit: 89 MP
BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_ROWS = np.arange(8)[:, None] * (2 * np.arange(HASH_SIDE)[None] + 1)
DCT = np.cos(np.pi * _ROWS / (2 * HASH_SIDE))  # the 8 lowest frequencies of a DCT-II


class UnfitPictureError(ValueError):
    """Bytes that are no picture, and the reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture's header says."""

    width: int  # pixels, as stored: before any EXIF orientation
    height: int
    format: str  # jpeg, png, webp, gif, bmp


def inspect(data: bytes) -> Picture:
    """Read a picture's header and look for its end; raises UnfitPictureError.

    Nothing is decoded, so a picture of any size costs little.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            format = (image.format or "").lower()
            picture = Picture(*image.size, NAMES.get(format, format))
    except UnidentifiedImageError:
        begin = data[:12]
        raise UnfitPictureError(Reason.not_image, f"begins with {begin!r}") from None
    except BOMB as error:
        raise UnfitPictureError(Reason.too_many_pixels, str(error)) from None
    except Exception as error:  # Pillow raises many kinds for damaged headers
        raise UnfitPictureError(Reason.damaged, f"{type(error).__name__}: {error}") from None
    if not picture.width or not picture.height:
        raise UnfitPictureError(Reason.damaged, "a side of 0 pixels")
    if not _is_complete(data, picture.format):
        raise UnfitPictureError(Reason.damaged, f"a {picture.format} without its end")
    return picture


def _is_complete(data: bytes, format: str) -> bool:
    if format == "jpeg":
        if data.rfind(b"\xff\xd9", -TAIL) >= 0:
            return True
        # Cameras append to the end; behind the last scan's start, FF D9 is nothing else.
        return data.find(b"\xff\xd9", max(data.rfind(b"\xff\xda"), 0)) >= 0
    if format == "png":
        return data.rfind(b"IEND") >= 0
    if format == "gif":
        return data.rstrip(b"\0\r\n ").endswith(b";") or b"\0;" in data[-TAIL:]
    if format == "webp":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    return len(data) >= int.from_bytes(data[2:6], "little")  # bmp


def _in_grey(image: Image.Image) -> Image.Image:
    """A copy with 256 greys; 16-bit pictures are scaled, where Pillow would clip them."""
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 256))
    return image.convert("L")


def perceptual_hash(data: bytes) -> int | None:
    """A 64-bit hash that similar pictures share but for a few bits; None above HASH_PIXELS.

    pHash: the 8x8 lowest frequencies of the DCT of a 32x32 grey copy, each above or below their
    median, row by row, as a signed integer (Zauner 2010, "Implementation and benchmarking of
    perceptual image hash functions"). A JPEG is decoded at an eighth of its size where that is
    enough. Raises UnfitPictureError where the picture cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > HASH_PIXELS:
                return None
            image.draft("L", (HASH_SIDE, HASH_SIDE))
            grey = _in_grey(image).resize((HASH_SIDE, HASH_SIDE), Image.Resampling.LANCZOS)
    except BOMB:
        return None
    except Exception as error:
        raise UnfitPictureError(Reason.damaged, f"{type(error).__name__}: {error}") from None
    frequencies = DCT @ np.asarray(grey, np.float64) @ DCT.T
    bits = np.packbits(frequencies > np.median(frequencies))
    return int.from_bytes(bits.tobytes(), "big", signed=True)
