import contextlib
import io
import itertools

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spatialgen.fetch.pictures import (
    HASH_PIXELS,
    Picture,
    UnfitPictureError,
    inspect,
    perceptual_hash,
)
from spatialgen.fetch.reasons import Reason
from tests.fetch.shapes import draw_picture

FORMATS = ("jpeg", "png", "webp", "gif", "bmp")


def picture_as(format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.open(io.BytesIO(draw_picture(1)))
    image.save(file, format, **options)
    return file.getvalue()


def reason_of(data: bytes) -> Reason:
    with pytest.raises(UnfitPictureError) as raised:
        inspect(data)
    return raised.value.reason


def apart(a: bytes, b: bytes) -> int:
    first, second = perceptual_hash(a), perceptual_hash(b)
    assert first is not None
    assert second is not None
    return ((first ^ second) & (2**64 - 1)).bit_count()


@pytest.mark.parametrize("format", FORMATS)
def test_format_and_size_come_from_the_bytes(format: str) -> None:
    with Image.open(io.BytesIO(draw_picture(1))) as image:
        width, height = image.size
    assert inspect(picture_as(format)) == Picture(width, height, format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_half_a_picture_is_damaged(format: str, kept: float) -> None:
    data = picture_as(format)
    assert reason_of(data[: int(len(data) * kept)]) is Reason.damaged


def test_a_progressive_jpeg_may_end_anywhere_but_in_its_scans() -> None:
    data = picture_as("jpeg", progressive=True)
    assert inspect(data).format == "jpeg"
    assert inspect(data + b"trailer" * 100).format == "jpeg", "cameras append to pictures"
    assert reason_of(data[: len(data) * 2 // 3]) is Reason.damaged


def test_a_jpeg_with_more_pictures_behind_it_is_a_jpeg() -> None:
    file = io.BytesIO()
    image = Image.open(io.BytesIO(draw_picture(1)))
    image.save(file, "MPO", save_all=True, append_images=[image])
    assert inspect(file.getvalue()).format == "jpeg"
    assert perceptual_hash(file.getvalue()) is not None


def test_bytes_behind_a_gif_are_no_damage() -> None:
    assert inspect(picture_as("gif") + b"some trailer").format == "gif"


def test_sixteen_bits_hash_like_eight() -> None:
    eight = Image.open(io.BytesIO(draw_picture(5))).convert("L")
    sixteen = Image.fromarray(np.asarray(eight).astype(np.uint16) * 256)
    copies = []
    for image in (eight, sixteen):
        file = io.BytesIO()
        image.save(file, "png")
        copies.append(file.getvalue())
    assert apart(*copies) <= 2


def test_a_thumbnail_inside_is_not_the_end() -> None:
    file = io.BytesIO()
    small = draw_picture(2, (60, 40))
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + small
    Image.open(io.BytesIO(draw_picture(1))).save(file, "jpeg", exif=exif)
    data = file.getvalue()
    assert b"\xff\xd9" in data[: data.rfind(b"\xff\xda")]
    assert inspect(data).format == "jpeg"
    assert reason_of(data[:-200]) is Reason.damaged


@pytest.mark.parametrize(
    "data",
    [b"", b"<html><body>404</body></html>", b"RIFF\x10\0\0\0WAVEfmt ", b"%PDF-1.7", b"\0" * 500],
)
def test_other_bytes_are_no_picture(data: bytes) -> None:
    assert reason_of(data) is Reason.not_image


def test_vector_and_rare_formats_are_not_read() -> None:
    assert reason_of(b'<svg xmlns="http://www.w3.org/2000/svg"/>') is Reason.not_image
    assert reason_of(picture_as("tiff")) is Reason.not_image
    assert reason_of(picture_as("ppm")) is Reason.not_image


def bomb(width: int, height: int) -> bytes:
    """A GIF that says it is this large."""
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"GIF89a" + size + b"\x80\0\0" + b"\0" * 6 + b"," + b"\0" * 4 + size + b"\0\x02\x01\0;"


def test_a_pixel_bomb_is_measured_and_not_decoded() -> None:
    assert inspect(bomb(9000, 9000)).width == 9000
    assert perceptual_hash(bomb(9000, 9000)) is None
    assert HASH_PIXELS < 9000**2
    for side in (12_000, 65_000):
        assert reason_of(bomb(side, side)) is Reason.too_many_pixels
        assert perceptual_hash(bomb(side, side)) is None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(FORMATS), st.integers(0, 200))
def test_no_bytes_raise_anything_else(noise: bytes, format: str, at: int) -> None:
    data = picture_as(format)
    for corrupted in (noise, data[:at] + noise + data[at + len(noise) :]):
        for read in (inspect, perceptual_hash):
            with contextlib.suppress(UnfitPictureError):
                read(corrupted)


def test_the_hash_is_phash(photos: list[bytes]) -> None:
    for photo in photos[:20]:
        with Image.open(io.BytesIO(photo)) as image:
            reference = int(str(imagehash.phash(image)), 16)
        found = perceptual_hash(photo)
        assert found is not None
        assert -(2**63) <= found < 2**63
        assert ((found ^ reference) & (2**64 - 1)).bit_count() <= 8, "of 64; decoding is smaller"


def test_copies_are_near_and_others_are_far(photos: list[bytes]) -> None:
    copies = []
    for photo in photos[:20]:
        file = io.BytesIO()
        with Image.open(io.BytesIO(photo)) as image:
            image.thumbnail((300, 300))
            image.save(file, "jpeg", quality=70)
        copies.append(file.getvalue())
    pairs = list(zip(photos[:20], copies, strict=True))
    assert max(apart(photo, copy) for photo, copy in pairs) <= 8
    assert min(apart(a, b) for (a, _), (b, _) in itertools.pairwise(pairs)) >= 14


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_colour_mode_has_a_hash(mode: str) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(draw_picture(1))).convert("L").convert(mode).save(file, "png")
    assert perceptual_hash(file.getvalue()) is not None


def test_cmyk_has_one_too() -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(draw_picture(1))).convert("CMYK").save(file, "jpeg")
    assert perceptual_hash(file.getvalue()) is not None


def test_what_cannot_be_decoded_is_damaged() -> None:
    data = bytearray(picture_as("png"))
    middle = len(data) // 2
    data[middle : middle + 50] = b"\0" * 50
    with pytest.raises(UnfitPictureError) as raised:
        perceptual_hash(bytes(data))
    assert raised.value.reason is Reason.damaged
