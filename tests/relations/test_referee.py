"""The referee on boxes that are right, wrong, missing and real."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.relations.geometry import BETWEEN_TWO, REGIONS, holds
from spatialgen.relations.referee import judge, spatial_agree
from spatialgen.sample.annotator_data import shown_objects
from spatialgen.sample.world.captions import make_situation
from spatialgen.sample.world.view import seeded, show
from tests.benchmarks.referee import SIDEWAYS, measure_nsr1k, mirrored

PLACES, SIDES = st.integers(0, 64), st.integers(6, 64)  # of 128, so that sums are exact
BOXES = st.tuples(PLACES, PLACES, SIDES, SIDES).map(
    lambda s: [s[0] / 128, s[1] / 128, (s[0] + s[2]) / 128, (s[1] + s[3]) / 128]
)
OPPOSITES = [("left", "right"), ("above", "below"), ("front", "behind")]


def verdict(caption, **boxes):
    return spatial_agree(judge(caption, boxes))


@pytest.mark.parametrize("kind", ["strong", "weak"])
def test_true_boxes_agree_and_mirrored_ones_do_not(kind):
    found: dict[str, Counter[Any]] = {"true": Counter(), "mirrored": Counter()}
    for index in range(400):
        view = show(seeded("test", 3, index), lambda rng: make_situation(rng, kind))
        objects, caption = shown_objects(view), view.situation.caption
        verdicts = judge(caption, objects)
        found["true"][spatial_agree(verdicts)] += 1
        if {each.relation.kind for each in verdicts} <= SIDEWAYS:
            flipped = {name: mirrored(boxes) for name, boxes in objects.items()}
            found["mirrored"][spatial_agree(judge(caption, flipped))] += 1
    assert found["true"][True] >= 0.97 * found["true"].total()
    assert found["mirrored"][True] <= 0.05 * found["mirrored"].total()


def test_real_boxes_agree_with_their_relation(nsr1k):
    figures = measure_nsr1k(nsr1k)
    for relation in ("left", "right", "top", "bottom"):
        assert figures[relation]["referee"]["value"] > 0.95, relation
        assert figures[relation]["swapped"]["value"] < 0.2, relation
    assert figures["all"]["referee"]["lo"] > figures["all"]["chance"]["hi"]


@given(BOXES, BOXES)
@pytest.mark.parametrize(("one", "other"), OPPOSITES)
def test_opposites_exclude_and_mirror_each_other(one, other, a, b):
    assert not (holds(one, [a], [[b]]) and holds(other, [a], [[b]]))
    assert holds(one, [a], [[b]]) == holds(other, [b], [[a]])


@given(BOXES, BOXES)
def test_flipping_the_picture_turns_left_into_right(a, b):
    (fa,), (fb,) = mirrored([a]), mirrored([b])
    assert holds("left", [a], [[b]]) == holds("right", [fa], [[fb]])
    for kind in ("above", "below", "front", "behind"):
        assert holds(kind, [a], [[b]]) == holds(kind, [fa], [[fb]])


@given(BOXES, BOXES, BOXES)
def test_more_instances_never_make_a_relation_fail(a, b, c):
    for kind in BETWEEN_TWO:
        if holds(kind, [a], [[b]]):
            assert holds(kind, [a, c], [[b]])
    for kind in REGIONS:
        if holds(kind, [a], []):
            assert holds(kind, [c, a], [])


CAT, BOX = [0.1, 0.4, 0.3, 0.6], [0.6, 0.4, 0.8, 0.6]


@pytest.mark.parametrize(
    ("caption", "boxes", "expected"),
    [
        ("小猫在箱子左边", {"小猫": [CAT], "箱子": [BOX]}, True),
        ("小猫在箱子左边", {"小猫": [BOX], "箱子": [CAT]}, False),
        ("小猫在箱子左边", {"小猫": [CAT]}, None),
        ("小猫在箱子左边", {}, None),
        ("一只小猫", {"小猫": [CAT]}, None),
        ("小猫在箱子左边，灯笼在左上角", {"小猫": [CAT], "箱子": [BOX]}, True),
        ("小猫在箱子左边，灯笼在左上角",
         {"小猫": [CAT], "箱子": [BOX], "灯笼": [[0.7, 0.7, 0.9, 0.9]]}, False),
        ("小猫在箱子左边", {"白色的小猫": [CAT], "箱子": [BOX]}, True),
        ("两棵大树中间有房子", {"大树": [CAT], "房子": [BOX]}, None),
        ("两棵大树中间有房子", {"大树": [CAT, BOX], "房子": [[0.4, 0.4, 0.5, 0.6]]}, True),
        ("一群人围着桌子",
         {"人": [[0.1, 0.4, 0.2, 0.8], [0.8, 0.4, 0.9, 0.8]], "桌子": [[0.3, 0.5, 0.7, 0.7]]},
         True),
        ("一群人围着桌子", {"人": [[0.1, 0.4, 0.2, 0.8]], "桌子": [[0.3, 0.5, 0.7, 0.7]]}, False),
        ("一群人围着桌子",
         {"人": [[0.1, 0.0, 0.2, 0.1], [0.8, 0.0, 0.9, 0.1]], "桌子": [[0.3, 0.9, 0.7, 1.0]]},
         False),
        ("两群人围着桌子",
         {"人": [[0.1, 0.4, 0.2, 0.8], [0.2, 0.4, 0.3, 0.8]], "桌子": [[0.4, 0.5, 0.9, 0.7]]},
         False),
        ("小猫在箱子旁边", {"小猫": [[0.65, 0.45, 0.75, 0.55]], "箱子": [BOX]}, False),
        ("椅子和灯笼之间有小猫",
         {"椅子": [CAT], "灯笼": [BOX], "小猫": [[0.4, 0.9, 0.5, 1.0]]}, False),
        ("马在斑马左边", {"斑马": [CAT]}, None),
        ("女孩在小女孩左边", {"小女孩": [CAT]}, None),
        ("小猫坐在椅子上", {"小猫": [[0.4, 0.2, 0.6, 0.5]], "椅子": [[0.3, 0.3, 0.7, 0.9]]}, True),
        ("小猫坐在椅子上", {"小猫": [[0.0, 0.7, 0.1, 0.9]], "椅子": [[0.5, 0.1, 0.9, 0.5]]}, False),
        ("西瓜在篮子里", {"西瓜": [[0.4, 0.4, 0.6, 0.6]], "篮子": [[0.3, 0.5, 0.7, 0.9]]}, True),
        ("西瓜在篮子里", {"西瓜": [[0.0, 0.0, 0.2, 0.2]], "篮子": [[0.3, 0.5, 0.7, 0.9]]}, False),
        ("小猫在箱子旁边", {"小猫": [[0.38, 0.4, 0.58, 0.6]], "箱子": [BOX]}, True),
        ("小猫在箱子旁边", {"小猫": [[0.0, 0.0, 0.05, 0.05]], "箱子": [BOX]}, False),
        ("画面中央是小猫", {"小猫": [[0.4, 0.4, 0.6, 0.6]]}, True),
        ("画面中央是小猫", {"小猫": [CAT]}, False),
    ],
)  # fmt: skip
def test_verdicts(caption, boxes, expected):
    assert verdict(caption, **boxes) is expected


def test_the_relation_that_failed_is_named():
    verdicts = judge("小猫在箱子左边，灯笼在左上角", {"灯笼": [BOX], "小猫": [CAT]})
    failed = [each.relation for each in verdicts if each.agrees is False]
    assert [(each.kind, each.subject) for each in failed] == [("top_left", "灯笼")]
