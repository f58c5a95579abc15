"""What the small picture generator learns from: large core things, and captions that name them.

The captions are the sample world's in their proportions, less the noise, which names nothing: 5 %
are spatial. The others say nothing of places, and things are placed without regard to them.
"""

import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from spatialgen.sample.world.captions import (
    ENDS,
    NUMBERS,
    RULES,
    STRONG_OF_SPATIAL,
    Draft,
    Group,
    Rule,
    Situation,
    make_situation,
    make_web_situation,
    write_situation,
)
from spatialgen.sample.world.classes import STUFF, THINGS, SpatialType
from spatialgen.sample.world.scenes import SIZES as WORLD_SIZES
from spatialgen.sample.world.scenes import Sizes
from spatialgen.sample.world.view import Split, View, seeded, show

NAMES = tuple(name for name, thing in THINGS.items() if thing.core)
PIXELS = 64  # side of its pictures
MOST_THINGS = 3
# Longest side of a thing in the world's pixels, by how many there are: 0.35 of the picture or more.
SIZES: Sizes = {1: (46, 84), 2: (46, 64), 3: (46, 54)}
SPATIAL_SHARE = 0.05
CAPTIONS_READ = 1000  # of each type: enough to meet every character


def _list(d: Draft) -> str:
    """One to three names, each thing of them shown; the world's own rule stops at two."""
    count = d.rng.choices((1, 2, 3), (0.4, 0.4, 0.2))[0]
    groups: list[Group] = []
    while len(groups) < count:
        room = MOST_THINGS - len(d.things) - (count - len(groups) - 1)
        groups.append(d.add(plural=room >= max(NUMBERS)))
    *first, last = map(str, groups)
    named = "、".join(first) + "和" * bool(first) + last
    praise = d.pick("", "", "可爱的", "好看的") if groups[0].said == groups[0].name else ""
    return praise + named + d.pick("", "", "", *ENDS)


# Rules whose things find room at these sizes; nothing of the core holds other things.
ROOMY = {
    *["_side", "_on", "_corner", "_center", "_part", "_beside", "_depth", "_under_sky"],
    *["_side_and_corner", "_two_corners"],
}
STRONG: dict[Rule, int] = {
    rule: weight for rule, weight in RULES["strong"].items() if rule.__name__ in ROOMY
}


def make_named_situation(rng: random.Random) -> Situation:
    """A caption that names every thing of the picture, and where some are in one of twenty."""
    if rng.random() < SPATIAL_SHARE:
        return make_spatial_situation(rng)
    return _write(rng, "none", {_list: 1})


def make_spatial_situation(rng: random.Random) -> Situation:
    """A strong or weak caption of core things, in the world's proportions."""
    kind: SpatialType = "strong" if rng.random() < STRONG_OF_SPATIAL else "weak"
    return _write(rng, kind, STRONG if kind == "strong" else RULES["weak"])


def _write(rng: random.Random, kind: SpatialType, rules: dict[Rule, int]) -> Situation:
    while True:
        (rule,) = rng.choices(tuple(rules), tuple(rules.values()))
        situation = write_situation(rng, rule, kind, NAMES)
        if len(situation.things) <= MOST_THINGS:
            return situation


@cache
def characters() -> frozenset[str]:
    """All that captions about the world's things are written with."""
    rng = random.Random(0)
    kinds = [kind for kind in RULES for _ in range(CAPTIONS_READ)]
    captions = [make_situation(rng, kind).caption for kind in kinds]
    return frozenset("".join((*captions, *THINGS, *STUFF, *ENDS, "、")))


def generator_view(split: Split, seed: int, index: int) -> View:
    """View `index` of the generator's world."""
    return show(seeded(split, seed, index), make_named_situation, SIZES)


def core_web_view(split: Split, seed: int, index: int, spatial_share: float) -> View:
    """Row `index` of a sample web whose spatial rows speak of large core things alone."""

    def make(rng: random.Random) -> Situation:
        if rng.random() < spatial_share:
            return make_spatial_situation(rng)
        return make_web_situation(rng, 0.0)

    return show(seeded(split, seed, index), make, {**WORLD_SIZES, **SIZES})


def draw_small(view: View) -> Image.Image:
    """The view's picture, PIXELS x PIXELS."""
    return view.draw().resize((PIXELS, PIXELS), Image.Resampling.BOX)


def stack_pictures(views: Sequence[View]) -> npt.NDArray[np.uint8]:
    """[n, PIXELS, PIXELS, 3]."""
    return np.stack([np.asarray(draw_small(view)) for view in views])
