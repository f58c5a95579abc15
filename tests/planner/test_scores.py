"""Figures of layouts: the truth's, a mirror's, and of what is missing or too much."""

import pytest

from spatialgen.layouts import Placed, mirror
from spatialgen.planner.baselines import by_chance, copy_nearest
from spatialgen.planner.evaluate import layout_scores
from spatialgen.planner.scores import Example, layout_figures, opposed, relation_figures
from spatialgen.relations.parse import read_caption
from spatialgen.sample.annotator_data import shown_objects
from spatialgen.sample.world.captions import make_situation
from spatialgen.sample.world.view import seeded, show
from spatialgen.statistics import Figure

CAPTION = "小猫在椅子左边"
CAT, CHAIR = Placed("小猫", (0.1, 0.4, 0.3, 0.8)), Placed("椅子", (0.6, 0.4, 0.9, 0.8))


def example(caption, *layout):
    return Example(caption, layout, tuple(read_caption(caption).relations))


@pytest.fixture(scope="module")
def world():
    """Captions of the sample world with the true boxes of what they name."""
    found = []
    for index in range(300):
        view = show(seeded("test", 5, index), lambda rng: make_situation(rng, "strong"))
        objects, caption = shown_objects(view), view.situation.caption
        layout = tuple(
            Placed(n, (b[0], b[1], b[2], b[3])) for n, boxes in objects.items() for b in boxes
        )
        found.append(example(caption, *layout))
    return found


def values(figures: dict[str, Figure]) -> dict[str, float]:
    return {
        name: float(figure.value) for name, figure in figures.items() if figure.value is not None
    }


def test_the_truth_is_right_by_every_rule(world):
    layouts = [each.layout for each in world]
    figures = relation_figures(world, layouts)
    assert min(values(figures).values()) >= 0.97, values(figures)
    assert figures["geneval"].n > 100
    things = values(layout_figures(world, layouts))
    assert {things[name] for name in things if name != "overlap"} == {1.0, 0.0}
    assert things["out_of_canvas"] == 0
    assert things["mean_iou"] == 1


def test_a_mirror_fails_left_and_right_alone():
    one = example(CAPTION, CAT, CHAIR)
    assert values(relation_figures([one], [mirror(one.layout)])) == dict.fromkeys(
        ("visor", "geneval", "t2i_compbench", "nsr", "referee"), 0.0
    )
    above = example(
        "蝴蝶在汽车上方", Placed("蝴蝶", (0, 0, 0.2, 0.2)), Placed("汽车", (0, 0.6, 0.2, 1))
    )
    assert values(relation_figures([above], [mirror(above.layout)]))["geneval"] == 1


def test_what_is_missing_fails_and_what_is_too_much_costs_precision():
    one = example(CAPTION, CAT, CHAIR)
    missing = values(layout_figures([one], [(CAT,)]))
    assert missing["object_recall"] == 0.5
    assert missing["object_precision"] == 1
    assert missing["object_f1"] == pytest.approx(2 / 3)
    assert missing["mean_iou"] == 0.5
    assert missing["count_accuracy"] == 0
    assert values(relation_figures([one], [(CAT,)]))["referee"] == 0
    more = values(layout_figures([one], [(CAT, CAT, CHAIR, Placed("狗", CAT.bbox))]))
    assert more["object_precision"] == 0.5
    assert more["object_recall"] == 1


def test_boxes_of_one_name_are_paired_as_fits_best():
    left, right = Placed("羊", (0, 0, 0.4, 1)), Placed("羊", (0.5, 0, 1, 1))
    one = example("两只羊", left, right)
    assert values(layout_figures([one], [(right, left)]))["mean_iou"] == 1


def test_boxes_beyond_the_picture_are_counted():
    outside = Placed("小猫", (0.5, 0.5, 1.2, 1.0))
    figures = values(layout_figures([example(CAPTION, CAT, CHAIR)], [(outside, CHAIR)]))
    assert figures["out_of_canvas"] == 0.5


def test_nothing_planned_is_no_figure_that_flatters():
    one = example(CAPTION, CAT, CHAIR)
    figures = values(layout_figures([one], [()]))
    assert figures["object_f1"] == 0
    assert figures["mean_iou"] == 0
    assert "object_precision" not in figures


def test_opposites_ask_for_what_changed():
    (turned,) = opposed(example(CAPTION, CAT, CHAIR))
    assert turned.caption == "小猫在椅子右边"
    assert values(relation_figures([turned], [mirror((CAT, CHAIR))]))["referee"] == 1
    assert values(relation_figures([turned], [(CAT, CHAIR)]))["referee"] == 0
    assert opposed(example("草地上的小猫", CAT)) == []


def test_the_nearest_caption_is_copied_and_itself_is_nearest(world):
    captions = [each.caption for each in world]
    copied = copy_nearest(captions, world)
    assert [*map(len, copied)] == [len(world[captions.index(c)].layout) for c in captions]
    assert copy_nearest(["？"], world) == [world[0].layout], "nothing in common"
    near = [example("左边是小猫", CAT), example("右边是椅子", CHAIR)]
    assert copy_nearest(["右边有椅子"], near) == [(CHAIR,)]


def test_chance_has_the_right_things_in_any_boxes(world):
    drawn = by_chance(world, world)
    assert drawn == by_chance(world, world)
    figures = layout_scores(world, drawn)
    assert figures["object_f1"]["value"] == 1
    assert figures["relation"]["geneval"]["value"] < 0.5
    assert figures["mean_iou"]["value"] < 0.3
