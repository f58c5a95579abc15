"""The sample world: what its captions say is true of its pictures."""

import io
import random
import re

import numpy as np
import pytest
from PIL import Image

from spatialgen.sample.mix.spatial_rules import label_caption
from spatialgen.sample.world.captions import (
    RULES,
    Rule,
    make_situation,
    make_web_situation,
    write_situation,
)
from spatialgen.sample.world.classes import STUFF, THINGS, SpatialType
from spatialgen.sample.world.noise import MAX_CHARACTERS
from spatialgen.sample.world.pictures import as_jpeg, draw
from spatialgen.sample.world.scenes import SIDE, Box, Claim, Crowded, Scene, arrange
from spatialgen.sample.world.view import SMALLEST, View, normalised, seeded, show, web_view

SPATIAL: list[tuple[SpatialType, Rule]] = [
    (kind, rule) for kind, rules in RULES.items() if kind != "none" for rule in rules
]
NUMBERS = {"两": 2, "三": 3}


def views(kind: SpatialType, rule: Rule, count: int = 25) -> list[View]:
    return [
        show(seeded("test", 1, index), lambda rng: write_situation(rng, rule, kind))
        for index in range(count)
    ]


def by_place(view: View) -> list[Box]:
    """Visible boxes in the order of the situation's things."""
    left = list(zip(view.scene.things, view.boxes, strict=True))
    boxes = []
    for name in view.situation.things:
        # Instances of a class share every claim, so any order of them will do.
        number = next(i for i, (thing, _) in enumerate(left) if thing.name == name)
        boxes.append(left.pop(number)[1])
    return boxes


def centre(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def holds(claim: Claim, boxes: list[Box], stuff: dict[str, Box]) -> bool:
    """Rules of the field, not the ones that placed the things: GenEval's and T2I-CompBench's
    |dx| > |dy| with IoU < 0.1 for sides, quarters of the picture for corners, halves for parts."""
    a = boxes[claim.subject]
    others = [boxes[i] for i in claim.objects]
    x, y = centre(a)
    if claim.stuff:
        region = stuff[claim.stuff]
        if claim.relation == "at":
            return region.top - 8 <= y <= region.bottom + 8 and a.bottom > region.top
        others = [region]
    if claim.relation in ("left", "right", "above", "below", "on"):
        dx, dy = x - centre(others[0])[0], y - centre(others[0])[1]
        along, across = (dx, dy) if claim.relation in ("left", "right") else (dy, dx)
        sign = -1 if claim.relation in ("left", "above", "on") else 1
        return sign * along > abs(across) and a.iou(others[0]) < 0.1
    if claim.relation == "between":
        (bx, by), (cx, cy) = map(centre, others)
        if abs(bx - cx) < abs(by - cy):
            x, y, bx, by, cx, cy = y, x, by, bx, cy, cx
        near = max(abs(y - by), abs(y - cy)) < abs(bx - cx) / 2
        return min(bx, cx) < x < max(bx, cx) and near and all(a.iou(o) < 0.1 for o in others)
    if claim.relation == "beside":
        bx, by = centre(others[0])
        return abs(x - bx) > abs(y - by) and a.iou(others[0]) < 0.1
    if claim.relation == "in":
        (b,) = others
        return b.left < x < b.right and b.top < y < b.bottom
    if claim.relation in ("front", "behind"):
        front, back = (a, others[0]) if claim.relation == "front" else (others[0], a)
        return front.bottom > back.bottom and front.common(back) > 0
    if claim.relation == "center":
        return abs(x - SIDE / 2) < SIDE / 6 and abs(y - SIDE / 2) < SIDE / 6
    words = claim.relation.split("_")
    rules = {"left": x < SIDE / 2, "right": x > SIDE / 2, "top": y < SIDE / 2,
             "bottom": y > SIDE / 2}  # fmt: skip
    return all(rules[word] for word in words if word != "part")


@pytest.mark.parametrize(
    ("kind", "rule"), SPATIAL, ids=lambda each: getattr(each, "__name__", each)
)
def test_pictures_show_what_captions_say(kind, rule):
    for view in views(kind, rule):
        boxes, stuff = by_place(view), dict(view.scene.stuff)
        assert view.situation.claims
        for claim in view.situation.claims:
            assert holds(claim, boxes, stuff), (view.situation, boxes)


def test_every_situation_of_a_spatial_type_has_claims_and_others_have_none():
    for index in range(300):
        situation = make_web_situation(seeded("test", 2, index), 0.5)
        assert bool(situation.claims) == (situation.spatial_type != "none")


@pytest.mark.parametrize("kind", RULES)
def test_captions_name_what_is_there_and_how_many(kind):
    for index in range(300):
        situation = make_situation(seeded("test", 3, index), kind)
        noise = make_web_situation(seeded("test", 3, index), 0.0)
        caption, things = situation.caption, list(situation.things)
        assert 2 <= len(caption) <= MAX_CHARACTERS
        assert {name for name in THINGS if name in caption} == set(things)
        assert {name for name in THINGS if name in noise.caption} <= set(noise.things)
        for number, count in NUMBERS.items():
            for found in re.finditer(f"{number}.(..[^，]?)", caption):
                name = next(name for name in THINGS if found.group(1).startswith(name))
                assert things.count(name) == count
        for name in STUFF:
            if name in caption:
                assert name in situation.ground


def test_no_name_is_part_of_another():
    names = [*THINGS, *STUFF]
    assert not [(a, b) for a in names for b in names if a != b and a in b]
    assert sum(thing.core for thing in THINGS.values()) == 12
    assert len(THINGS) >= 24


def test_grammar_covers_the_relations_and_their_paraphrases():
    relations, said = set(), set()
    for index in range(1500):
        situation = make_situation(seeded("test", 4, index), "strong")
        relations |= {claim.relation for claim in situation.claims}
        if {claim.relation for claim in situation.claims} == {"left"}:
            said.add(re.sub("|".join(THINGS), "X", re.sub("[一两三].", "", situation.caption)))
    corners = {"top_left", "top_right", "bottom_left", "bottom_right", "center"}
    assert {"left", "right", "above", "below", "on", "in", "beside", "between", "front", "behind",
            *corners} <= relations  # fmt: skip
    left, right = "左[边侧面]", "右[边侧面]"
    for form in (
        f"X在X的?{left}",
        f"X的?{left}[是有]X",
        f"{left}[是有]X，{right}[是有]X",
        "X在左，X在右",
    ):
        assert any(re.fullmatch(form, each) for each in said), form


def test_web_has_the_corpus_proportions():
    drawn = [make_web_situation(seeded("test", 5, index), 0.05) for index in range(4000)]
    types = [situation.spatial_type for situation in drawn]
    assert 0.04 < 1 - types.count("none") / 4000 < 0.06
    assert 0.5 < types.count("strong") / (4000 - types.count("none")) < 0.8
    assert {1, 2, 3, 4} == {len(situation.things) for situation in drawn}


def test_equal_seeds_give_equal_files_and_splits_share_none():
    first, again = (web_view("corpus", 7, 3, 0.5) for _ in range(2))
    assert first.situation == again.situation
    assert as_jpeg(first.draw()) == as_jpeg(again.draw())
    states = {seeded(split, seed, index).random()
              for split in ("corpus", "train", "validation", "test")
              for seed in range(5) for index in range(-20, 20)}  # fmt: skip
    assert len(states) == 4 * 5 * 40


def test_pictures_are_128_pixels_wide_and_jpeg():
    data = as_jpeg(web_view("test", 1, 1, 0.5).draw())
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.format, image.mode) == ((SIDE, SIDE), "JPEG", "RGB")


def test_boxes_are_what_is_seen():
    """Without a thing the picture differs exactly inside its box, up to its faint edges."""
    checked = 0
    for index in range(60):
        view = web_view("test", 6, index, 0.9)
        whole = np.asarray(view.draw(), np.int16)
        for number, box in enumerate(view.boxes):
            things = view.scene.things
            without = Scene(
                view.scene.stuff, things[:number] + things[number + 1 :], view.scene.texture
            )
            changed = np.abs(whole - np.asarray(draw(without), np.int16)).max(2) > 24
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            edges = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            sides = np.array([box.left, box.top, box.right, box.bottom])
            assert np.abs(edges - sides).max() <= 4, (edges, sides)
            assert min(box.width, box.height) >= SMALLEST
            assert min(normalised(box)) >= 0
            assert max(normalised(box)) <= 1
            checked += 1
    assert checked > 100


def test_things_that_no_claim_brings_together_hardly_overlap():
    for index in range(200):
        view = show(seeded("test", 8, index), lambda rng: make_situation(rng, "none"))
        boxes = view.boxes
        assert all(a.iou(b) < 0.1 for i, a in enumerate(boxes) for b in boxes[:i])


def test_things_are_small_and_sizes_places_and_sides_vary():
    seen = [view for index in range(300) for view in [web_view("test", 9, index, 0.5)]]
    sides = [max(box.width, box.height) for view in seen for box in view.boxes]
    assert 30 <= np.median(sides) <= 48
    assert np.percentile(sides, 90) > 1.4 * np.percentile(sides, 10)
    assert {thing.mirrored for view in seen for thing in view.scene.things} == {True, False}
    centres = np.array([centre(box) for view in seen for box in view.boxes]) / SIDE
    assert (centres.min(0) < 0.2).all()
    assert (centres.max(0) > 0.8).all()


def test_claims_that_cannot_hold_are_crowded():
    both = [Claim("left", 0, (1,)), Claim("right", 0, (1,))]
    with pytest.raises(Crowded):
        arrange(random.Random(0), ["苹果", "小猫"], both)


def test_truth_says_which_objects_the_caption_names():
    for index in range(50):
        view = show(seeded("test", 10, index), lambda rng: make_situation(rng, "strong"))
        truth = view.truth()
        assert len(truth["objects"]) == len(view.scene.things) + len(view.scene.stuff)
        assert all(each["named"] for each in truth["objects"] if each["kind"] == "thing")
        named = {each["name"] for each in truth["objects"] if each["named"]}
        for relation in truth["relations"]:
            assert {relation["subject"], *relation["objects"]} <= named


def test_rules_for_real_captions_agree_with_the_grammar():
    """Two labellers of one idea: what they agree on is what the small text model can learn."""
    agree = 0
    for index in range(600):
        kind = list(RULES)[index % 3]
        agree += label_caption(make_situation(seeded("test", 11, index), kind).caption) == kind
    assert agree >= 0.9 * 600
