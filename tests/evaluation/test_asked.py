"""Which captions are painted, and how: order, conditions, shuffled boxes, planted names."""

import pytest

from spatialgen.errors import ParamsError
from spatialgen.evaluation.asked import (
    ASKED,
    KEY,
    asked_rows,
    conditions,
    held_out,
    read_layout,
    shuffled,
    write_layout,
)
from spatialgen.layouts import Placed
from tests.evaluation.lakes import evaluate_params, fill

KNOWN = frozenset({"熊猫", "青蛙", "企鹅"})
CAT, DOG = Placed("猫", (0.1, 0.1, 0.4, 0.5)), Placed("狗", (0.6, 0.2, 0.9, 0.8))
BIRD = Placed("鸟", (0.2, 0.2, 0.3, 0.3))


def painters(found, name):
    (condition,) = (each for each in found if each.name == name)
    return condition.painter


def test_more_captions_are_the_same_and_others(lake):
    fill(lake, sides=9)
    few, rest = held_out(lake, evaluate_params(captions=3), KNOWN)
    many, none = held_out(lake, evaluate_params(captions=9), KNOWN)
    assert many[:3] == few
    assert many[3:6] == rest, "those that pictures are compared with are the next"
    assert none == []
    assert len({case.row_id for case in many}) == 9
    assert sorted(case.row_id for case in many) != [case.row_id for case in many]


def test_cases_have_their_boxes_in_the_crop_and_what_is_said_of_them(lake):
    views = fill(lake, sides=3)
    for case in held_out(lake, evaluate_params(), KNOWN)[0]:
        view = views[case.row_id]
        assert case.example.caption == view.situation.caption
        assert len(case.example.relations) == 1
        assert (case.crop.width, case.crop.height) == (64, 64)
        names = {thing.name for thing in view.scene.things}
        assert {each.name for each in case.wanted} == names
        assert all(0 <= side <= 1 for each in case.wanted for side in each.bbox)


def test_a_name_is_planted_that_the_row_does_not_have_and_the_detector_knows(lake):
    fill(lake, sides=12)
    for case in held_out(lake, evaluate_params(captions=12), KNOWN)[0]:
        assert case.absent not in case.example.caption
        assert case.absent in KNOWN
    unknown = held_out(lake, evaluate_params(captions=12), frozenset({"锤子"}))[0]
    assert all(case.absent and case.absent not in case.example.caption for case in unknown)


def test_sides_only_leaves_out_captions_that_state_none(lake):
    views = fill(lake, sides=4, others=6)
    every = held_out(lake, evaluate_params(captions=10), KNOWN)[0]
    sided = held_out(lake, evaluate_params(captions=10, sides_only=True), KNOWN)[0]
    assert len(every) > len(sided) >= 4
    assert {case.row_id for case in every} <= views.keys()
    for case in sided:
        assert {each.kind for each in case.example.relations} & {"left", "right", "above", "below"}


def test_a_condition_that_no_row_satisfies_is_said(lake):
    fill(lake, sides=1)
    params = evaluate_params()
    nobody = params.train_adapter.model_copy(update={"where": "false"})
    with pytest.raises(ParamsError, match="no row of split test satisfies train_adapter"):
        held_out(lake, params.model_copy(update={"train_adapter": nobody}), KNOWN)


def test_names_are_shuffled_into_the_boxes_of_another_row_with_as_many():
    layouts = [(CAT, DOG), (BIRD,), (DOG, CAT), (CAT, BIRD)]
    first, alone, third, last = shuffled(layouts)
    assert first == (Placed("猫", DOG.bbox), Placed("狗", CAT.bbox))
    assert alone is None, "no other has one thing"
    assert third == (Placed("狗", CAT.bbox), Placed("猫", BIRD.bbox))
    assert last == (Placed("猫", CAT.bbox), Placed("鸟", DOG.bbox))


def test_what_a_painter_does_not_depend_on_is_not_in_its_settings(lake):
    fill(lake, sides=3)
    params = evaluate_params(also=["shuffled", "reconstruction", "planned"], scales=[0.5, 1.0])
    cases, _ = held_out(lake, params, KNOWN)
    found = conditions(cases, params, "folder:a", [case.wanted for case in cases])
    assert [each.name for each in found] == [
        "on", "off", "planned", "shuffled", "reconstruction", "on@scale=0.5",
    ]  # fmt: skip
    assert painters(found, "on") == painters(found, "planned") == painters(found, "shuffled")
    assert painters(found, "on@scale=0.5") == {**painters(found, "on"), "scale": 0.5}
    other = conditions(cases, params, "folder:b", None)
    assert painters(found, "on") != painters(other, "on")
    assert painters(found, "off") == painters(other, "off")
    assert set(painters(other, "reconstruction")) == {"base", "dtype"}


def test_every_condition_of_every_case_is_asked_with_every_seed(lake):
    fill(lake, sides=4)
    params = evaluate_params(also=["reconstruction"], seeds=[0, 7])
    cases, _ = held_out(lake, params, KNOWN)
    found = conditions(cases, params, "folder:a", None)
    asked = asked_rows(cases, found, params.evaluate.seeds)
    assert asked.schema == ASKED
    assert asked.num_rows == 4 * (2 + 2 + 1), "an autoencoder needs no noise"
    rows = asked.to_pylist()
    assert len({tuple(row[name] for name in KEY) for row in rows}) == len(rows)
    assert [row["row_id"] for row in rows] == sorted(row["row_id"] for row in rows)
    assert {row["layout"] for row in rows if row["condition"] == "off"} == {"[]"}
    for row in rows:
        assert bool(row["picture"]) == (row["condition"] == "reconstruction")


def test_layouts_are_written_always_the_same():
    text = write_layout((Placed("猫", (0.1, 1 / 3, 0.5, 0.99999)),))
    assert text == '[["猫",[0.1,0.3333,0.5,1.0]]]'
    assert write_layout(read_layout(text)) == text
    assert read_layout('[["猫",[0.5,0.1,0.5,0.2]]]') == ()
