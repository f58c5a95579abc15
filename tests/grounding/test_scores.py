"""Laws of the box scores."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.grounding.scores import BoxScores, match
from spatialgen.relations.geometry import iou

SIDES = st.floats(0, 0.5)
BOXES = st.tuples(SIDES, SIDES, st.floats(0.05, 0.5), st.floats(0.05, 0.5)).map(
    lambda s: [s[0], s[1], s[0] + s[2], s[1] + s[3]]
)


@given(BOXES, BOXES)
def test_iou_is_symmetric_at_most_one_and_one_for_itself(a, b):
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert 0 <= iou(a, b) <= 1 + 1e-9
    assert iou(a, a) == pytest.approx(1)


@given(st.lists(BOXES, max_size=5), st.lists(BOXES, max_size=5))
def test_no_box_is_matched_twice(predicted, true):
    pairs = match(predicted, true)
    assert len({i for i, _, _ in pairs}) == len({j for _, j, _ in pairs}) == len(pairs)


def test_half_overlap():
    assert iou([0, 0, 1, 1], [0.5, 0, 1.5, 1]) == pytest.approx(1 / 3)


def test_figures_count_misses_false_alarms_and_absent_names():
    scores = BoxScores()
    half = [0.0, 0.0, 1.0, 0.6]
    scores.add(
        {"猫": [[0, 0, 1, 1]], "狗": [half, [0, 0.9, 0.1, 1]], "鱼": [[0, 0, 1, 1]]},
        {"猫": [[0, 0, 1, 1]], "狗": [[0, 0, 1, 1]], "鸟": [[0, 0, 1, 1]], "鱼": [], "马": []},
    )
    assert scores.figures() == pytest.approx(
        {
            "mean_iou": (1 + 0.6) / 2,
            "mean_iou_misses_0": 1.6 / 3,
            "precision_50": 2 / 3,
            "recall_50": 2 / 3,
            "f1_50": 2 / 3,
            "precision_75": 1 / 3,
            "recall_75": 1 / 3,
            "f1_75": 1 / 3,
            "false_box_rate": 1 / 2,
        }
    )


def test_sizes_and_the_recall_curve_count_true_boxes():
    scores = BoxScores()
    small, large = [0.0, 0.0, 0.1, 0.1], [0.0, 0.0, 1.0, 1.0]
    scores.add({"猫": [large]}, {"猫": [large], "狗": [small, [0.5, 0.5, 0.6, 0.6]]})
    sizes = scores.by_size()
    assert sizes["large"]["mean_iou_misses_0"].value == 1
    assert (sizes["small"]["recall_50"].value, sizes["small"]["recall_50"].n) == (0, 2)
    assert sizes["medium"]["mean_iou_misses_0"].value is None, "not measured is not zero"
    curve = scores.recall_curve()
    assert (curve[0]["iou"], curve[-1]["iou"]) == (0, 1)
    assert [row["all"] for row in curve] == pytest.approx([1 / 3] * 21, abs=1e-6)
    assert {row["medium"] for row in curve} == {None}


def test_intervals_hold_the_value_and_shrink_with_pictures():
    def width(pictures: int) -> Any:
        scores = BoxScores()
        for number in range(pictures):
            found = [[0, 0, 1, 1]] if number % 3 else []
            scores.add({"猫": found}, {"猫": [[0, 0, 1, 1]]})
        figure: Any = scores.measured()["recall_50"]
        assert figure.lo < figure.value < figure.hi
        assert figure.n == pictures
        return figure.hi - figure.lo

    assert width(300) < width(30)


def test_nothing_asked_gives_zeros():
    assert set(BoxScores().figures().values()) == {0.0}
