"""Published rules of position: their laws, their differences, and how often chance fulfils them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.relations.rules import AXES, RULES
from tests.benchmarks.referee import mirrored
from tests.relations.test_referee import BOXES

OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
RULE = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@RULE
@given(a=BOXES, b=BOXES, side=st.sampled_from([*AXES]))
def test_a_side_and_its_opposite(rule, a, b, side):
    held = rule(side, [a], [b])
    assert held == rule(OPPOSITE[side], [b], [a]), "seen from the other thing"
    assert not (held and rule(OPPOSITE[side], [a], [b]))
    assert not rule(side, [a], [a]), "nothing is beside itself"


@RULE
@given(a=BOXES, b=BOXES)
def test_a_mirror_turns_left_into_right(rule, a, b):
    (fa,), (fb,) = mirrored([a]), mirrored([b])
    assert rule("left", [a], [b]) == rule("right", [fa], [fb])
    assert rule("above", [a], [b]) == rule("above", [fa], [fb])


@pytest.mark.parametrize(
    ("a", "b", "passed"),
    [
        ([0.0, 0.4, 0.2, 0.6], [0.6, 0.4, 0.8, 0.6], {"visor", "geneval", "t2i_compbench", "nsr"}),
        # lower by more than it is to the left, yet by GenEval's half of the distance to the left
        ([0.2, 0.7, 0.3, 0.8], [0.5, 0.3, 0.6, 0.4], {"visor", "geneval"}),
        ([0.3, 0.7, 0.4, 0.8], [0.4, 0.3, 0.5, 0.4], {"visor"}),
        # overlapping: the offset is less than a tenth of both widths
        ([0.10, 0.4, 0.60, 0.6], [0.15, 0.4, 0.65, 0.6], {"visor", "nsr"}),
    ],
)
def test_where_the_rules_differ(a, b, passed):
    assert {name for name, rule in RULES.items() if rule("left", [a], [b])} == passed


def test_which_instances_count():
    left, right, middle = [0, 0.4, 0.2, 0.6], [0.8, 0.4, 1, 0.6], [0.4, 0.4, 0.6, 0.6]
    assert {name for name, rule in RULES.items() if rule("left", [right, left], [middle])} == {
        "visor",
        "nsr",
    }, "the others take the surest only"


def test_chance_fulfils_them_as_often_as_published_notes_say():
    rng = random.Random(0)

    def box():
        x, y = sorted(rng.random() for _ in range(2)), sorted(rng.random() for _ in range(2))
        return [x[0], y[0], x[1], y[1]]

    pairs = [(box(), box()) for _ in range(20_000)]
    shares = {
        name: sum(rule("left", [a], [b]) for a, b in pairs) / len(pairs)
        for name, rule in RULES.items()
    }
    assert shares["visor"] == pytest.approx(0.5, abs=0.02)
    assert shares["nsr"] == pytest.approx(0.25, abs=0.02)
    assert shares["geneval"] == pytest.approx(0.22, abs=0.02)
    assert shares["t2i_compbench"] < shares["nsr"]
