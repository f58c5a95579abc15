"""From mentions to clean boxes: laws, and each problem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.grounding.answers import PROBLEMS, tidy
from spatialgen.relations.geometry import iou

SIDES = st.floats(-0.5, 1.5) | st.sampled_from([0.0, 1.0, float("inf"), 1e300])
MENTIONS = st.lists(
    st.tuples(
        st.sampled_from(["小猫", "狗", "白色的小猫", "大象", "", "“狗”", " 狗。"])
        | st.text(max_size=4),
        st.none() | st.just([]) | st.lists(SIDES, min_size=4, max_size=4),
    ),
    max_size=12,
)
BOX = [0.1, 0.1, 0.5, 0.5]


def read(mentions, names=("小猫", "狗"), caption="小猫在狗左边", min_area=0.001, merge_iou=0.8):
    return tidy(mentions, list(names), caption, min_area=min_area, merge_iou=merge_iou)


@given(MENTIONS)
def test_whatever_is_mentioned_boxes_are_boxes(mentions):
    answer = read(mentions)
    for name, boxes in answer.objects.items():
        assert boxes
        assert name in "小猫在狗左边"
        for number, (x1, y1, x2, y2) in enumerate(boxes):
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1
            assert (x2 - x1) * (y2 - y1) >= 0.001
            assert all(iou(boxes[number], other) < 0.8 for other in boxes[:number])
    assert not set(answer.absent) & set(answer.objects)
    assert set(answer.problems) <= set(PROBLEMS)
    kept = sum(map(len, answer.objects.values()))
    given_boxes = sum(box is not None for _, box in mentions)
    boxless = sum(box is None for _, box in mentions)
    left_out = [problem for problem in answer.problems if problem != "unanswered"]
    assert given_boxes - kept <= len(left_out) <= given_boxes - kept + boxless


@pytest.mark.parametrize(
    ("mention", "problem"),
    [
        (("小猫", [0.5, 0.1, 0.5, 0.5]), "degenerate"),
        (("小猫", [0.5, 0.6, 0.1, 0.7]), "degenerate"),
        (("小猫", [1.2, 0.1, 1.5, 0.5]), "degenerate"),
        (("小猫", [0.1, 0.1, 0.12, 0.12]), "tiny"),
        (("大象", BOX), "not_asked"),
        (("", BOX), "unnamed"),
    ],
)
def test_what_is_no_box_says_why(mention, problem):
    answer = read([mention, ("狗", BOX)])
    assert answer.problems[0] == problem
    assert answer.objects == {"狗": [BOX]}


def test_boxes_are_cut_at_the_borders_and_doubles_merged():
    answer = read([("小猫", [-0.2, 0.1, 0.5, 1.7]), ("小猫", [0.0, 0.1, 0.51, 1.0]), ("狗", None)])
    assert answer.objects == {"小猫": [[0.0, 0.1, 0.5, 1.0]]}
    assert (answer.problems, answer.absent) == (["duplicate"], ["狗"])


@pytest.mark.parametrize("written", ["“小猫”", "白色的小猫", " 小猫。", "猫"])
def test_names_are_found_in_their_variants(written):
    assert read([(written, BOX)]).objects == {"小猫": [BOX]}


def test_a_name_of_the_caption_counts_though_it_was_not_asked_for():
    assert read([("树", BOX)], caption="树下的小猫和狗").objects == {"树": [BOX]}


@pytest.mark.parametrize("written", ["热狗", "子", "小猫咪"])
def test_names_that_only_end_alike_are_others(written):
    assert (
        read([(written, BOX)], names=("狗", "房子", "小猫"), caption="").problems[0] == "not_asked"
    )


def test_a_name_that_fits_two_is_neither():
    assert read([("猫", BOX)], names=("白猫", "黑猫"), caption="猫").objects == {}


def test_absent_is_what_is_said_to_be_absent_and_nothing_else():
    answer = read([("小猫", [0.5, 0.1, 0.5, 0.5]), ("狗", []), ("树", None)], caption="树")
    assert answer.absent == ["树"]
    assert answer.problems == ["degenerate", "unreadable_box"]


def test_the_only_thing_asked_for_needs_no_name():
    assert read([("", BOX)], names=("小猫",)).objects == {"小猫": [BOX]}


def test_what_is_not_answered_is_neither_absent_nor_there():
    answer = read([("小猫", BOX)])
    assert (answer.absent, answer.problems) == ([], ["unanswered"])
