"""Buckets, crops, and boxes that go through them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spatialgen.encode.buckets import Buckets, Crop
from spatialgen.errors import ParamsError
from spatialgen.layouts import Placed

BUCKETS = [Buckets(64, 16, 2.0), Buckets(512, 64, 2.0), Buckets(1024, 64, 2.5)]
ALL = {"min_area": 0.0, "min_visible": 0.0}
sides = st.integers(1, 4000)
shares = st.floats(0, 1)


@st.composite
def boxes(draw):
    """Boxes inside the picture, a thousandth of its side or more."""
    x1, y1 = draw(st.floats(0, 0.999)), draw(st.floats(0, 0.999))
    x2, y2 = draw(st.floats(x1 + 0.001, 1)), draw(st.floats(y1 + 0.001, 1))
    return x1, y1, x2, y2


@pytest.mark.parametrize("buckets", BUCKETS)
def test_buckets_have_the_area_in_both_directions_and_a_square(buckets):
    area, step = buckets.resolution**2, buckets.step
    for width, height in buckets.shapes:
        assert width % step == height % step == 0
        assert abs(width * height - area) <= step * max(width, height) / 2
        assert max(width / height, height / width) <= buckets.max_aspect
        assert (height, width) in buckets.shapes
    assert (buckets.resolution, buckets.resolution) in buckets.shapes


def test_the_small_buckets():
    assert BUCKETS[0].shapes == ((48, 96), (48, 80), (64, 64), (80, 48), (96, 48))
    assert Buckets(64, 16, 1.0).shapes == ((64, 64),)
    with pytest.raises(ParamsError, match=r"encode\.resolution = 100 has no bucket .* = 64 within"):
        Buckets(100, 64, 1.5)


@given(sides, sides, st.sampled_from(BUCKETS))
def test_a_crop_is_the_nearest_bucket_covered_and_centred(width, height, buckets):
    crop = buckets.of(width, height)
    aspect = width / height
    gaps = [abs(math.log(w / h / aspect)) for w, h in buckets.shapes]
    assert abs(math.log(crop.width / crop.height / aspect)) == min(gaps)
    assert crop.scaled_width >= crop.width
    assert crop.scaled_height >= crop.height
    assert crop.scaled_width == crop.width or crop.scaled_height == crop.height
    assert abs(crop.scaled_width - 2 * crop.left - crop.width) <= 1
    assert abs(crop.scaled_height - 2 * crop.top - crop.height) <= 1
    scale = max(crop.width / width, crop.height / height)
    assert abs(crop.scaled_width - width * scale) <= 1
    assert abs(crop.scaled_height - height * scale) <= 1


@given(sides, sides, boxes(), st.sampled_from(BUCKETS), shares, shares)
def test_boxes_stay_inside_and_are_seen_enough(width, height, box, buckets, area, visible):
    placed = buckets.of(width, height).project(
        (Placed("猫", box),), min_area=area, min_visible=visible
    )
    for each in placed:
        x1, y1, x2, y2 = each.bbox
        assert 0 <= x1 < x2 <= 1
        assert 0 <= y1 < y2 <= 1
        assert (x2 - x1) * (y2 - y1) >= area


@given(st.sampled_from(BUCKETS), st.integers(1, 5), boxes())
def test_an_uncropped_picture_keeps_its_boxes(buckets, times, box):
    for width, height in buckets.shapes:
        crop = buckets.of(width * times, height * times)
        assert (crop.scaled_width, crop.scaled_height) == (width, height)
        assert (crop.left, crop.top, crop.width, crop.height) == (0, 0, width, height)
        (placed,) = crop.project((Placed("猫", box),), **ALL)
        assert placed.bbox == pytest.approx(box, abs=1e-9)


@pytest.mark.parametrize("size", [(640, 480), (300, 900), (1500, 200), (100, 90), (31, 77)])
@given(box=boxes())
def test_a_box_covers_the_same_pixels_of_a_drawn_rectangle(size, box):
    drawn = [round(side * size[i % 2]) for i, side in enumerate(box)]
    drawn[2], drawn[3] = max(drawn[2], drawn[0] + 1), max(drawn[3], drawn[1] + 1)
    picture = Image.new("L", size)
    picture.paste(255, tuple(drawn))
    crop = Buckets(512, 64, 2.0).of(*size)
    bbox = tuple(side / size[i % 2] for i, side in enumerate(drawn))
    shown = crop.show(picture)
    assert shown.size == (crop.width, crop.height)
    found = Image.fromarray((np.asarray(shown) >= 128).astype(np.uint8)).getbbox()
    for placed in crop.project((Placed("猫", bbox),), **ALL):
        x1, y1, x2, y2 = _pixels(placed, crop)
        if min(x2 - x1, y2 - y1) >= 2:  # thinner ones are grey
            assert found == pytest.approx((x1, y1, x2, y2), abs=2)
        return
    assert found is None or min(found[2] - found[0], found[3] - found[1]) <= 1


def _pixels(placed, crop):
    return [side * (crop.width, crop.height)[i % 2] for i, side in enumerate(placed.bbox)]


def test_boxes_that_the_crop_hides_or_makes_tiny_are_left_out():
    crop = Crop(scaled_width=200, scaled_height=100, left=50, top=0, width=100, height=100)
    layout = (
        Placed("outside", (0.0, 0.0, 0.25, 1.0)),
        Placed("a third", (0.15, 0.0, 0.3, 1.0)),
        Placed("tiny", (0.5, 0.5, 0.52, 0.54)),
        Placed("whole", (0.25, 0.0, 0.75, 1.0)),
    )
    kept = crop.project(layout, min_area=0.01, min_visible=0.3)
    assert [each.name for each in kept] == ["a third", "whole"]
    assert kept[0].bbox == pytest.approx((0, 0, 0.1, 1))
    assert kept[1].bbox == pytest.approx((0, 0, 1, 1))
    strict = crop.project(layout, min_area=0.01, min_visible=0.34)
    assert [each.name for each in strict] == ["whole"]
    assert [each.name for each in crop.project(layout, **ALL)] == ["a third", "tiny", "whole"]


def test_a_part_is_what_scaling_and_cutting_give():
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    for picture in (Image.fromarray(noise), Image.fromarray(noise).resize((1600, 900))):
        crop = Buckets(256, 64, 1.5).of(*picture.size)
        shrinks = picture.width > crop.scaled_width
        kind = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
        scaled = picture.resize((crop.scaled_width, crop.scaled_height), kind)
        right, bottom = crop.left + crop.width, crop.top + crop.height
        wanted = np.asarray(scaled.crop((crop.left, crop.top, right, bottom)), np.int16)
        assert np.abs(np.asarray(crop.show(picture), np.int16) - wanted).max() <= 2
