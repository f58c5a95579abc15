"""Pictures: found, decoded, turned, and loaded ahead of the model."""

import hashlib
import io
import threading
import time

import numpy as np
import pytest
from PIL import Image

from spatialgen.grounding.pictures import (
    Ahead,
    Pictures,
    UnreadableError,
    as_seen_plainly,
    decode,
    shown,
)
from tests.grounding.annotating import (
    fill,
    picture,
)


def test_pictures_are_found_by_digest(lake, photos):
    fill(lake, ["小猫在箱子左边"] * 20, photos[:20])
    pictures = Pictures(lake["images"].dataset())
    for photo in photos[:20]:
        assert pictures.read(hashlib.sha256(photo).hexdigest()) == photo
    with pytest.raises(UnreadableError, match="holds no picture"):
        pictures.read("0" * 64)


def test_sixteen_bits_and_transparency_look_as_they_should():
    def decoded(image, **options):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        return decode(buffer.getvalue()).convert("L")

    grey = Image.fromarray(np.full((4, 4), 32768, np.uint16))
    assert decoded(grey).getpixel((0, 0)) == 128
    assert decoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0))).getpixel((0, 0)) == 255
    assert decoded(Image.new("RGB", (4, 4)), transparency=(0, 0, 0)).getpixel((0, 0)) == 255
    with pytest.raises(UnreadableError):
        decode(b"")


def test_no_memory_is_not_the_pictures_fault(monkeypatch):
    def none_left(file):
        raise MemoryError

    monkeypatch.setattr(Image, "open", none_left)
    with pytest.raises(MemoryError):
        decode(picture(1))


def test_views_turn_boxes_as_they_turn_pictures():
    left = Image.new("RGB", (100, 60), "white")
    left.paste("black", (10, 20, 30, 40))
    box = [0.1, 20 / 60, 0.3, 40 / 60]
    dark = np.asarray(shown(left, "mirrored").convert("L")) < 128
    rows, columns = np.nonzero(dark)
    seen = [columns.min() / 100, rows.min() / 60, (columns.max() + 1) / 100, (rows.max() + 1) / 60]
    assert as_seen_plainly(seen, "mirrored") == pytest.approx(box)
    assert shown(left, "smaller").size == (67, 40)
    assert as_seen_plainly(box, "smaller") == box


def test_loading_runs_ahead_is_bounded_and_waiting_is_measured():
    loaded, lock = [], threading.Lock()

    def load(item):
        time.sleep(0.02)
        with lock:
            loaded.append(item)
        if item == 5:
            raise UnreadableError("five")
        return item * 10

    ahead = Ahead(load, ahead=4, threads=2)
    ahead.expect(range(20))
    time.sleep(0.3)
    assert sorted(loaded) == [0, 1, 2, 3], "no more than asked"
    before = ahead.waited_s
    assert ahead.take([0, 1]) == [0, 10]
    assert ahead.waited_s - before < 0.02, "it was there"
    ahead.done([0, 1])
    results = ahead.take([4, 5])
    assert results[0] == 40
    assert isinstance(results[1], UnreadableError)
    assert ahead.waited_s > before
    assert ahead.take([99]) == [990], "what nobody expected is loaded, too"
