"""Layouts and their text form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.errors import InputError
from spatialgen.layouts import (
    Placed,
    boxes_by_name,
    format_layout,
    make_layout,
    mirror,
    parse_layout,
)

SIDES = st.lists(st.integers(0, 1000), min_size=2, max_size=2, unique=True).map(sorted)
BOXES = st.tuples(SIDES, SIDES).map(
    lambda s: (s[0][0] / 1000, s[1][0] / 1000, s[0][1] / 1000, s[1][1] / 1000)
)
NAMES = st.text(st.characters(exclude_characters="<>", exclude_categories=["C", "Z"]), min_size=1)
LAYOUTS = st.lists(st.builds(Placed, NAMES, BOXES), max_size=5).map(tuple)


@given(LAYOUTS)
def test_the_text_form_is_read_as_it_was_written(layout):
    assert parse_layout(format_layout(layout)) == layout


def test_the_text_form_is_the_guides():
    text = "<obj>猫</obj><box>[0.052,0.310,0.448,0.902]</box>"
    assert format_layout(parse_layout(f" {text}\n")) == text
    assert parse_layout("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "猫在左边",
        "<obj>猫</obj>",
        "<obj></obj><box>[0,0,1,1]</box>",
        "<obj>猫</obj><box>[0,0,1]</box>",
        "<obj>猫</obj><box>[0,0,1,x]</box>",
        "<obj>猫</obj><box>[0.5,0,0.5,1]</box>",
        "<obj>猫</obj><box>[0,0.6,1,0.5]</box>",
        "<obj>猫</obj><box>[0,0,1,1.5]</box>",
        "<obj>猫</obj><box>[0,0,nan,1]</box>",
        "<obj>猫</obj><box>[0,0,1,1]</box>。",
    ],
)
def test_a_text_that_is_no_layout_is_refused(text):
    with pytest.raises(InputError, match="is no"):
        parse_layout(text)


def test_dicts_are_layouts_and_bad_boxes_are_not():
    layout = make_layout(
        [{"name": "猫", "bbox": [0, 0, 0.5, 1]}, {"name": "猫", "bbox": [0.5, 0, 1, 1]}]
    )
    assert boxes_by_name(layout) == {"猫": [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]}
    with pytest.raises(InputError, match="give four numbers"):
        make_layout([{"name": "猫", "bbox": [0, 1]}])


@given(LAYOUTS)
def test_a_mirror_twice_is_the_picture(layout):
    twice = mirror(mirror(layout))
    assert [each.name for each in twice] == [each.name for each in layout]
    for found, true in zip(twice, layout, strict=True):
        assert found.bbox == pytest.approx(true.bbox)
