"""Figures of verdicts: values, intervals, failures, sweeps, chance."""

import pytest

from spatialgen.encode.buckets import Crop
from spatialgen.evaluation.asked import Case, write_layout
from spatialgen.evaluation.figures import evaluate_figures, judged
from spatialgen.evaluation.painted import Painted
from spatialgen.evaluation.verdicts import Seen, judge_picture
from spatialgen.layouts import Placed
from spatialgen.planner.scores import Example
from spatialgen.relations.parse import read_caption
from spatialgen.statistics import NOT_MEASURED, Figure
from tests.evaluation.lakes import evaluate_params

CAT, CHAIR = Placed("小猫", (0.1, 0.4, 0.3, 0.8)), Placed("椅子", (0.6, 0.4, 0.9, 0.8))
SKY = Placed("天空", (0.0, 0.0, 1.0, 0.3))
CLASSES = frozenset({"小猫", "椅子"})
CROP = Crop(64, 64, 0, 0, 64, 64)
RULES = ("visor", "geneval", "t2i_compbench", "nsr", "referee")
MEASURED = {"kid": Figure(0.1, 0.0, 0.2, 40), "fid": NOT_MEASURED}


def case(row_id, *layout):
    caption = "小猫在椅子左边"
    example = Example(caption, layout or (CAT, CHAIR), read_caption(caption).relations)
    return Case(row_id, "a" * 64, CROP, example, "蛋糕")


def painted(asked, condition, *found, seed=0, given=(), failed=False):
    """What was painted for a case: both judges found this."""
    seen = [Seen(each.name, each.bbox) for each in found]
    things = [{"name": each.name, "bbox": [*each.bbox], "score": None} for each in found]
    row = {
        "seed": seed,
        "seconds": 0.5,
        "annotator": things,
        "detector": things,
        "by_annotator": judge_picture(asked.example, seen, asked.absent),
        "by_detector": judge_picture(asked.example, seen, "", CLASSES),
    }
    question = {"row_id": asked.row_id, "condition": condition, "layout": write_layout(given)}
    return Painted(question, None if failed else row)


def figures(cases, rows, **changed):
    by_condition: dict[str, list[Painted]] = {}
    for each in rows:
        by_condition.setdefault(each.asked["condition"], []).append(each)
    distances = dict.fromkeys(by_condition, MEASURED)
    params = evaluate_params(**changed).evaluate
    return evaluate_figures(cases, by_condition, distances, params, CLASSES)


def test_values_are_shares_of_what_was_asked_and_cases_are_captions():
    one, other = case(1), case(2, CAT, CHAIR, SKY)
    found = figures(
        [one, other],
        [painted(one, "on", CAT, CHAIR), painted(other, "on", CAT), painted(one, "off"),
         painted(other, "off", Placed("蛋糕", CAT.bbox))],
    )  # fmt: skip
    on, off = found["on"]["annotator"], found["off"]["annotator"]
    assert [on[rule]["value"] for rule in RULES] == [0.5] * 5
    assert on["mig_hit"]["value"] == on["mig_miou"]["value"] == 0.6
    assert found["on"]["detector"]["mig_hit"]["value"] == 0.75, "it knows no sky"
    assert on["geneval"]["n"] == on["mig_hit"]["n"] == on["absent"]["n"] == 2
    assert on["geneval"]["lo"] < 0.5 < on["geneval"]["hi"]
    assert (on["absent"]["value"], off["absent"]["value"]) == (0, 0.5)
    assert off["present"]["value"] == 0
    assert found["off"]["detector"]["absent"] == NOT_MEASURED.as_dict()
    assert found["on"]["seconds"] == 0.5
    assert found["on"]["kid"] == {"value": 0.1, "lo": 0.0, "hi": 0.2, "n": 40}
    assert found["on"]["fid"]["value"] is None
    assert (found["rows"], found["failed"], found["cases"], found["seeds"]) == (4, 0, 2, 1)
    assert found["captions"] == 1, "that of both"


def test_pictures_of_one_caption_are_one_case():
    one, other = case(1), case(2)
    rows = [painted(one, "on", CAT, CHAIR, seed=seed) for seed in range(3)]
    found = figures([one, other], [*rows, painted(other, "on")])["on"]["annotator"]
    assert found["geneval"]["value"] == 0.75
    assert found["geneval"]["n"] == found["mig_miou"]["n"] == 2


def test_what_failed_counts_as_a_picture_of_nothing():
    one, other = case(1), case(2)
    rows = [painted(one, "on", CAT, CHAIR), painted(other, "on", failed=True)]
    found = figures([one, other], rows)
    assert found["failed"] == 1
    for judge in ("annotator", "detector"):
        for name in (*RULES, "mig_hit", "mig_miou", "present"):
            assert found["on"][judge][name]["value"] == 0.5, name
            assert found["on"][judge][name]["n"] == 2
    assert found["on"]["annotator"]["absent"]["n"] == 1, "nobody was asked about it"


def test_other_boxes_than_the_rows_own_are_measured_against_both():
    one = case(1)
    swapped = (Placed("小猫", CHAIR.bbox), Placed("椅子", CAT.bbox))
    rows = [painted(one, "shuffled", *swapped, given=swapped), painted(one, "on", CAT, CHAIR)]
    found = figures([one], rows)
    shuffled = found["shuffled"]["annotator"]
    assert shuffled["mig_hit"]["value"] == shuffled["geneval"]["value"] == 0
    assert shuffled["given_hit"]["value"] == shuffled["given_miou"]["value"] == 1
    assert "given_hit" not in found["on"]["annotator"]


def test_sweeps_hold_the_point_of_condition_on():
    one = case(1)
    rows = [painted(one, "on", CAT, CHAIR), painted(one, "on@scale=0.5"), painted(one, "on@beta=0")]
    found = figures([one], rows, scales=[0.5, 1.0], betas=[0.0])
    scale, beta = found["sweeps"]["scale"], found["sweeps"]["beta"]
    assert [*scale] == ["0.5", "1"]
    assert [scale[value]["detector"]["geneval"]["value"] for value in scale] == [0, 1]
    assert [*beta] == ["0", "1"]
    assert not any("@" in name for name in found)


def test_the_truth_is_right_and_chance_is_not():
    cases = [case(n) for n in range(40)]
    found = figures(cases, [painted(each, "on") for each in cases])
    for judge in ("annotator", "detector"):
        truth, chance = found["truth"][judge], found["chance"][judge]
        assert {truth[name]["value"] for name in (*RULES, "mig_hit", "mig_miou")} == {1}
        for name in (*RULES, "mig_hit"):
            assert 0 <= chance[name]["value"] < 0.7
        assert chance["present"]["value"] == 1


def test_without_a_case_that_states_a_side_nothing_is_measured():
    verdict = judge_picture(Example("小猫", (CAT,), ()), [], "")
    found = judged([[verdict]])
    assert found["geneval"] == found["referee"] == found["absent"] == NOT_MEASURED
    assert found["mig_hit"].value == 0
    assert found["mig_hit"].n == 1


@pytest.mark.parametrize("n", [0, 3])
def test_intervals_stay_shares(n):
    verdicts = [[judge_picture(case(1).example, [Seen("小猫", CAT.bbox)] if i < n else [], "")]
                for i in range(5)]  # fmt: skip
    for name, figure in judged(verdicts).items():
        if figure.value is not None:
            assert figure.lo is not None
            assert figure.hi is not None
            assert 0 <= figure.lo <= figure.value <= figure.hi <= 1, name
