"""The sample world: an endless seeded stream of captions, pictures and what is true of them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa
from PIL import Image

from spatialgen.sample.world.captions import Situation, make_web_situation
from spatialgen.sample.world.pictures import draw, visible_boxes
from spatialgen.sample.world.scenes import (
    SIDE,
    SIZES,
    Box,
    Crowded,
    Scene,
    Sizes,
    arrange,
    lay_ground,
)

# corpus: what stage `sample` writes. The others are for the models that are trained on the world.
Split = Literal["corpus", "train", "validation", "test"]

TRUTH_FIELDS = (
    pa.field("spatial_type", pa.string()),
    pa.field(
        "objects",
        pa.list_(
            pa.struct(
                [
                    pa.field("name", pa.string()),
                    pa.field("bbox", pa.list_(pa.float32(), 4)),  # of what is visible
                    pa.field("kind", pa.string()),  # thing or stuff
                    pa.field("named", pa.bool_()),  # by the caption
                ]
            )
        ),
    ),
    pa.field(
        "relations",
        pa.list_(
            pa.struct(
                [
                    pa.field("relation", pa.string()),  # see scenes.Relation
                    pa.field("subject", pa.string()),
                    pa.field("objects", pa.list_(pa.string())),  # empty: of the picture itself
                ]
            )
        ),
    ),
)
LOOKS = 20  # pictures drawn of a situation
SMALLEST = 14  # pixels of the shorter side of what is visible of a thing


@dataclass(frozen=True)
class View:
    """A situation, and a picture that shows it."""

    situation: Situation
    scene: Scene

    def draw(self) -> Image.Image:
        """RGB, SIDE x SIDE."""
        return draw(self.scene)

    @cached_property
    def boxes(self) -> list[Box]:
        """Per thing of the scene, its visible extent."""
        return visible_boxes(self.scene)

    def truth(self) -> dict[str, Any]:
        """The row of TRUTH_FIELDS: things from back to front, then stuff from top to bottom."""
        caption, things = self.situation.caption, self.situation.things
        shown = zip((thing.name for thing in self.scene.things), self.boxes, strict=True)
        objects = [(name, box, "thing") for name, box in shown]
        objects += [(name, box, "stuff") for name, box in self.scene.stuff]
        return {
            "spatial_type": self.situation.spatial_type,
            "objects": [
                {"name": name, "bbox": normalised(box), "kind": kind, "named": name in caption}
                for name, box, kind in objects
            ],
            "relations": [
                {
                    "relation": claim.relation,
                    "subject": things[claim.subject],
                    "objects": [claim.stuff] if claim.stuff else [things[i] for i in claim.objects],
                }
                for claim in self.situation.claims
            ],
        }


def normalised(box: Box) -> list[float]:
    """[x1, y1, x2, y2] in [0, 1]."""
    return [side / SIDE for side in (box.left, box.top, box.right, box.bottom)]


def seeded(split: Split, seed: int, index: int) -> random.Random:
    """The source of everything random in one view; no two splits share one."""
    return random.Random(f"spatialgen world/{split}/{seed}/{index}")


def show(
    rng: random.Random, make: Callable[[random.Random], Situation], limits: Sizes = SIZES
) -> View:
    """A situation from `make`, and a picture in which all that it speaks of can be seen."""
    while True:
        situation = make(rng)
        for _ in range(LOOKS):  # before giving it up, which would make hard situations rare
            try:
                ground = lay_ground(rng, situation.ground)
                scene = arrange(rng, situation.things, situation.claims, ground, limits)
            except Crowded:
                continue
            view = View(situation, scene)
            if all(min(box.width, box.height) >= SMALLEST for box in view.boxes):
                return view


def web_view(split: Split, seed: int, index: int, spatial_share: float) -> View:
    """Row `index` of the sample web."""
    return show(seeded(split, seed, index), lambda rng: make_web_situation(rng, spatial_share))
