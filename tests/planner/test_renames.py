"""Other names for things: the same picture, and nothing of the test in training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.layouts import Placed
from spatialgen.planner.renames import rename, taught_nouns, unseen_nouns
from spatialgen.relations.segment import common_nouns

LEFT, RIGHT = (0.0, 0.2, 0.4, 0.8), (0.5, 0.2, 0.9, 0.8)
CAT, TREE = Placed("小猫", LEFT), Placed("大树", RIGHT)
SEEDS = st.integers(0, 10_000)


@given(SEEDS)
def test_caption_and_layout_are_renamed_alike(seed):
    caption, layout, others = rename(
        "小猫在大树左边", (CAT, TREE, CAT), np.random.default_rng(seed), taught_nouns()
    )
    cat, tree = (others.get(name, name) for name in ("小猫", "大树"))  # a noun may be there already
    assert caption == f"{cat}在{tree}左边"
    assert [each.name for each in layout] == [cat, tree, cat]
    assert [each.bbox for each in layout] == [LEFT, RIGHT, LEFT]
    assert cat != tree


@given(SEEDS)
def test_what_is_said_twice_or_not_at_all_or_in_latin_keeps_its_name(seed):
    layout = (CAT, TREE, Placed("cat", LEFT))
    kept = rename("小猫和小猫在cat旁边", layout, np.random.default_rng(seed), taught_nouns())
    assert kept == ("小猫和小猫在cat旁边", layout, {})


def test_a_name_within_another_is_not_cut_out_of_it():
    layout = (Placed("猫", LEFT), Placed("猫头鹰", RIGHT))
    caption, renamed, others = rename(
        "一只猫头鹰", layout, np.random.default_rng(0), taught_nouns()
    )
    assert caption == f"一只{others['猫头鹰']}"
    assert [each.name for each in renamed] == ["猫", others["猫头鹰"]]


def test_unseen_nouns_are_neither_taught_nor_in_a_known_caption():
    unseen = unseen_nouns(["一辆公交车旁边的大树", "天空"])
    assert len(unseen) > 1500
    assert not {*unseen} & {*taught_nouns()}
    assert not any(noun in "一辆公交车旁边的大树天空" for noun in unseen)


@pytest.mark.parametrize("word", ["左边", "上司", "一事", "飞机跑道上", "cat"])
def test_no_noun_says_where_or_counts(word):
    assert word not in common_nouns()
    assert {"猫", "狗", "飞机", "桌子"} <= {*common_nouns()}
