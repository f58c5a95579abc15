"""Verdicts on what was found: full marks for the truth, nothing for what is missing."""

from hypothesis import given
from hypothesis import strategies as st

from spatialgen.evaluation.verdicts import Seen, judge_picture
from spatialgen.layouts import Placed
from spatialgen.planner.scores import Example
from spatialgen.relations.parse import Relation, read_caption

CAPTION = "小猫在椅子左边"
CAT, CHAIR = Placed("小猫", (0.1, 0.4, 0.3, 0.8)), Placed("椅子", (0.6, 0.4, 0.9, 0.8))
RULES = ("visor", "geneval", "t2i_compbench", "nsr", "referee")
ORDERED = ("geneval", "t2i_compbench")  # take the surest detections
COUNTS = ("mig_hits", "mig_iou", "present")
NAMES = ("猫", "狗", "箱子")
sides = st.sampled_from(("left", "right", "above", "below"))
relations = st.builds(
    Relation, sides, st.just("猫"), st.sampled_from((("狗",), ("箱子",)))
) | st.builds(Relation, sides, st.just("狗"), st.just(("箱子",)))


@st.composite
def boxes(draw):
    """A box on a grid of tenths."""
    x1, y1 = draw(st.integers(0, 8)), draw(st.integers(0, 8))
    x2, y2 = draw(st.integers(x1 + 1, 10)), draw(st.integers(y1 + 1, 10))
    return x1 / 10, y1 / 10, x2 / 10, y2 / 10


layouts = st.lists(st.builds(Placed, st.sampled_from(NAMES), boxes()), max_size=6).map(tuple)
examples = st.builds(
    Example, st.just("?"), layouts, st.lists(relations, max_size=3, unique=True).map(tuple)
)
found = st.lists(st.builds(Seen, st.sampled_from(NAMES), boxes()), max_size=8)


def example(caption, *layout):
    return Example(caption, layout, read_caption(caption).relations)


def seen(*layout):
    return [Seen(each.name, each.bbox) for each in layout]


def test_what_is_where_it_was_wanted_has_full_marks():
    verdict = judge_picture(example(CAPTION, CAT, CHAIR), seen(CAT, CHAIR), "蛋糕")
    assert [verdict[rule] for rule in RULES] == [1] * 5
    assert (verdict["sides"], verdict["relations"], verdict["instances"]) == (1, 1, 2)
    assert (verdict["mig_hits"], verdict["mig_iou"], verdict["present"]) == (2, 2, 2)
    assert verdict["absent_found"] is False


def test_what_is_missing_fails_and_is_counted():
    verdict = judge_picture(example(CAPTION, CAT, CHAIR), seen(CAT), "")
    assert [verdict[rule] for rule in RULES] == [0] * 5
    assert (verdict["sides"], verdict["instances"]) == (1, 2)
    assert (verdict["mig_hits"], verdict["mig_iou"], verdict["present"]) == (1, 1, 1)
    assert verdict["absent_found"] is None, "it was asked for none"


def test_the_wrong_side_fails_where_the_things_are_there():
    swapped = seen(Placed("小猫", CHAIR.bbox), Placed("椅子", CAT.bbox))
    verdict = judge_picture(example(CAPTION, CAT, CHAIR), swapped, "")
    assert [verdict[rule] for rule in RULES] == [0] * 5
    assert (verdict["mig_hits"], verdict["present"]) == (0, 2)


def test_two_instances_need_two_detections():
    pair = Placed("羊", (0.0, 0.0, 0.5, 1.0)), Placed("羊", (0.5, 0.0, 1.0, 1.0))
    wanted = Example("两只羊", pair, ())
    both = judge_picture(wanted, seen(*reversed(pair)), "")
    assert (both["mig_hits"], both["mig_iou"], both["present"]) == (2, 2, 2)
    one = judge_picture(wanted, seen(Placed("羊", (0.0, 0.0, 1.0, 1.0))), "")
    assert (one["mig_hits"], one["mig_iou"], one["present"]) == (1, 0.5, 1)


def test_what_a_judge_cannot_know_is_in_no_count():
    wanted = example("小猫在天空左边", CAT, Placed("天空", (0, 0, 1, 0.3)))
    verdict = judge_picture(wanted, seen(CAT), "", frozenset({"小猫"}))
    assert (verdict["sides"], verdict["relations"], verdict["instances"]) == (0, 0, 1)
    assert verdict["mig_hits"] == 1


def test_what_should_not_be_there_is_noticed():
    assert judge_picture(example(CAPTION, CAT), seen(CHAIR), "椅子")["absent_found"] is True


@given(examples)
def test_the_truth_is_never_marked_down(wanted):
    verdict = judge_picture(wanted, seen(*wanted.layout), "")
    assert verdict["mig_hits"] == verdict["present"] == verdict["instances"] == len(wanted.layout)
    assert abs(verdict["mig_iou"] - len(wanted.layout)) < 1e-9


@given(examples, found, st.data())
def test_a_detection_less_raises_no_figure(wanted, things, data):
    before = judge_picture(wanted, things, "猫")
    kept = data.draw(st.lists(st.sampled_from(things), unique_by=id)) if things else []
    fewer = [thing for thing in things if any(thing is each for each in kept)]
    after = judge_picture(wanted, fewer, "猫")
    for name in {*RULES, *COUNTS, "absent_found"} - {*ORDERED}:
        assert after[name] <= before[name] + 1e-9, name


@given(examples, found, st.randoms(use_true_random=False))
def test_the_order_matters_only_to_rules_that_take_the_surest(wanted, things, random):
    before = judge_picture(wanted, things, "猫")
    random.shuffle(things)
    after = judge_picture(wanted, things, "猫")
    for name in before.keys() - {*ORDERED}:
        assert abs(after[name] - before[name]) < 1e-9, name
