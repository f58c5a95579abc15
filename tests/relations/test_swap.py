"""Captions that say the opposite."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.relations.parse import read_caption
from spatialgen.relations.swap import swap_heights, swap_sides
from spatialgen.sample.world.captions import make_situation
from spatialgen.sample.world.view import seeded


@pytest.mark.parametrize(
    ("caption", "sideways", "upright"),
    [
        ("小猫在椅子左边", "小猫在椅子右边", "小猫在椅子左边"),
        ("左边是猫，右边是狗", "右边是猫，左边是狗", "左边是猫，右边是狗"),
        ("右上角有一颗星星", "左上角有一颗星星", "右下角有一颗星星"),
        ("蝴蝶在汽车上方", "蝴蝶在汽车上方", "蝴蝶在汽车下方"),
        ("苹果放在桌子上", "苹果放在桌子上", None),  # no opposite that is usual
        ("苹果在桌子上面", "苹果在桌子上面", "苹果在桌子下面"),
        ("猪的边上是一只熊猫", "猪的边上是一只熊猫", None),  # beside
        ("一百元左右的猫", None, "一百元左右的猫"),  # about
        ("a cat on the left of a dog", None, "a cat on the left of a dog"),
        ("猫在西侧，狗在东侧", None, "猫在西侧，狗在东侧"),
        ("左边是西瓜，右边是猫", "右边是西瓜，左边是猫", "左边是西瓜，右边是猫"),
        ("海边的日落", "海边的日落", "海边的日落"),
    ],
)
def test_words_change_sides_where_positions_do(caption, sideways, upright):
    assert swap_sides(caption) == sideways
    assert swap_heights(caption) == upright


@given(st.integers(0, 2000))
def test_twice_is_the_caption_and_no_other_position_changes(index):
    caption = make_situation(seeded("test", 0, index), "strong").caption
    for swap in (swap_sides, swap_heights):
        swapped = swap(caption)
        if swapped is None:
            continue
        assert swap(swapped) == caption
        relations = read_caption(caption).relations, read_caption(swapped).relations
        assert len(relations[0]) == len(relations[1])
        assert (swapped != caption) == (relations[0] != relations[1])
