"""The shipped judges on true pictures of the sample world, and on none."""

import pytest
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.evaluation.judges import Judges
from spatialgen.relations.geometry import iou
from spatialgen.sample.annotator_data import shown_objects
from tests.evaluation.lakes import evaluate_params, side_view

EMPTY = Image.new("RGB", (64, 64), "grey")


def test_both_find_what_is_there(judges):
    views = [side_view(n) for n in range(8)]
    names = [[thing.name for thing in view.scene.things] for view in views]
    absent = ["蛋糕" if "蛋糕" not in each else "雨伞" for each in names]
    looks = judges.look([view.draw() for view in views], names, absent)
    hits = {"annotator": 0, "detector": 0}
    for view, look, planted in zip(views, looks, absent, strict=True):
        true = shown_objects(view)
        for judge in hits:
            found = getattr(look, judge)
            hits[judge] += sum(
                any(each.name == name and iou(each.bbox, true[name][0]) > 0.5 for each in found)
                for name in {thing.name for thing in view.scene.things}
            )
            assert sum(each.name == planted for each in found) == 0
        scores = [each.score for each in look.detector]
        assert scores == sorted(scores, reverse=True)
        assert {each.score for each in look.annotator} <= {None}
    assert min(hits.values()) >= 14, hits


def test_nothing_is_found_where_nothing_is(judges):
    (look,) = judges.look([EMPTY], [["熊猫", "苹果"]], [""])
    assert look.detector == []
    assert look.annotator == []


def test_the_annotator_is_asked_for_the_absent_name_too(judges, monkeypatch):
    asked: list[str] = []
    ask = judges.annotator.ask

    def note(pictures, questions):
        asked.extend(questions)
        return ask(pictures, questions)

    monkeypatch.setattr(judges.annotator, "ask", note)
    judges.look([EMPTY, EMPTY], [["熊猫"], ["苹果"]], ["箱子", ""])
    assert ["熊猫、箱子" in question for question in asked] == [True, False]
    assert "箱子" not in asked[1]


def test_a_detector_that_is_none_is_said():
    with pytest.raises(InputError, match="holds no detector"):
        Judges.from_params(evaluate_params(detector="no/such/folder").evaluate, "cpu")
