"""Pictures to look at."""

from pathlib import Path

import pytest
from PIL import Image

from spatialgen import drawing
from spatialgen.drawing import SHIPPED, SIDE, Panel, draw_panels, find_font, font, wrap


@pytest.fixture(autouse=True)
def forget_fonts():
    """Each test looks for fonts anew."""
    find_font.cache_clear()
    font.cache_clear()
    yield
    find_font.cache_clear()
    font.cache_clear()


def panel(size=(200, 100), boxes=((0.1, 0.1, 0.5, 0.9),), lines=(("小猫在左边", "black"),)):
    return Panel(Image.new("RGB", size, "white"), [("小猫", box) for box in boxes], lines)


def test_a_box_is_drawn_where_it_is():
    drawn = panel().draw()
    assert drawn.width == SIDE
    pixel = drawn.getpixel((round(0.5 * SIDE) - 2, round(0.5 * SIDE / 2)))
    assert pixel == (0xE6, 0x19, 0x4B), "the right side of the box"
    assert drawn.getpixel((round(0.3 * SIDE), round(0.7 * SIDE / 2))) == (255, 255, 255)


def test_names_at_the_border_stay_inside_and_a_tall_picture_keeps_its_shape():
    tall = panel((50, 200), [(0.9, 0.0, 1.0, 0.1)]).draw()
    assert tall.size[0] == SIDE
    assert tall.size[1] > SIDE


def test_a_sheet_holds_all_panels():
    one = draw_panels([panel()])
    sheet = draw_panels([panel(), panel((100, 300)), panel()], columns=2)
    assert sheet.width > 1.9 * SIDE
    assert sheet.height > one.height + SIDE


def test_long_lines_are_wrapped():
    assert len(wrap("很" * 100)) == -(-100 // (SIDE // drawing.TEXT_SIZE))
    assert wrap("") == [""]


def test_the_shipped_font_has_the_common_characters(monkeypatch):
    monkeypatch.setattr(drawing, "SYSTEM_FOLDERS", ())
    assert find_font() == SHIPPED
    masks = {font(16).getmask(character).getbbox() for character in "小猫在箱子左边，：。A1"}
    assert None not in masks
    blank, known = (font(16).getmask(c) for c in ("\U0001f980", "猫"))
    assert bytes(blank) != bytes(known)


def test_a_chinese_font_of_the_system_is_preferred(monkeypatch, tmp_path):
    there = tmp_path / "truetype" / "wqy-microhei.ttc"
    there.parent.mkdir()
    there.write_bytes(SHIPPED.read_bytes())
    (tmp_path / "DejaVuSans.ttf").write_bytes(b"")
    monkeypatch.setattr(drawing, "SYSTEM_FOLDERS", (str(tmp_path), "/does/not/exist"))
    assert find_font() == Path(there)
