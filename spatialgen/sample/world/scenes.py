"""Where things are in a picture of the sample world: boxes, and placing that makes relations hold.

Units are pixels of a SIDE x SIDE picture, origin top left. Every relation is held with a margin, so
that no reasonable rule of judging it disagrees: left means clearly more left than up or down.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from spatialgen.sample.world.cutouts import cut_out

SIDE = 128
BORDER = 2  # pixels that stay free at the edges
Sizes = Mapping[int, tuple[int, int]]
# Longest side of a thing, by how many there are: few and large, or several and small.
SIZES: Sizes = {1: (38, 64), 2: (34, 56), 3: (30, 44), 4: (28, 40)}
TRIES = 30  # places for a thing before all start anew with other sizes
LAYOUTS = 100
OVERLAP = 0.04  # IoU that unrelated things may have
EDGE = 4  # pixels by which what is below a region may reach into it
HORIZON = (0.36, 0.6)  # where the ground may begin, of the picture's height

TOUCHING = ("in", "on", "front", "behind")  # relations of things whose boxes may overlap

Relation = Literal[
    "left", "right", "above", "below", "on", "beside", "between", "in", "front", "behind",
    "top_left", "top_right", "bottom_left", "bottom_right", "center",
    "left_part", "right_part", "top_part", "bottom_part", "at",
]  # fmt: skip


@dataclass(frozen=True)
class Box:
    """[left, right) x [top, bottom)."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def x(self) -> float:
        """Of the centre."""
        return (self.left + self.right) / 2

    @property
    def y(self) -> float:
        """Of the centre."""
        return (self.top + self.bottom) / 2

    def common(self, other: "Box") -> float:
        """Area of the intersection."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def iou(self, other: "Box") -> float:
        """Intersection over union."""
        common = self.common(other)
        return common / (self.area + other.area - common)


@dataclass(frozen=True)
class Claim:
    """What a caption states of things, by their places in the situation's list.

    `objects` is empty where the subject is related to the picture itself (left_part, top_left) or
    to a region, which `stuff` names then (at, below).
    """

    relation: Relation
    subject: int
    objects: tuple[int, ...] = ()
    stuff: str | None = None


@dataclass(frozen=True)
class Placed:
    """A thing in a picture."""

    name: str
    box: Box  # of its sprite, hidden parts included
    longest: int  # what its sprite was scaled to
    mirrored: bool


@dataclass(frozen=True)
class Scene:
    """A picture's content. Things that come later in `things` are in front."""

    stuff: tuple[tuple[str, Box], ...]
    things: tuple[Placed, ...]
    texture: int  # seed of the regions' textures


class Crowded(Exception):
    """No placement was found."""


def lay_ground(rng: random.Random, names: Sequence[str]) -> tuple[tuple[str, Box], ...]:
    """Regions of these names from top to bottom, each over the whole width."""
    if not names:
        return ()
    edges = [0.0, float(SIDE)]
    if len(names) > 1:
        horizon = rng.uniform(*HORIZON) * SIDE
        edges[1:1] = [round(horizon + k * (SIDE - horizon) / (len(names) - 1))
                      for k in range(len(names) - 1)]  # fmt: skip
    return tuple(
        (name, Box(0, top, SIDE, bottom))
        for name, top, bottom in zip(names, edges, edges[1:], strict=False)
    )


def arrange(
    rng: random.Random,
    names: Sequence[str],
    claims: Sequence[Claim],
    stuff: tuple[tuple[str, Box], ...] = (),
    limits: Sizes = SIZES,
) -> Scene:
    """These things, placed at random so that every claim holds; Crowded if they do not fit."""
    for _ in range(LAYOUTS):
        longest = _draw_sizes(rng, names, claims, limits[len(names)])
        sizes = [cut_out(name, side).size for name, side in zip(names, longest, strict=True)]
        boxes = _place(rng, sizes, claims, dict(stuff))
        if boxes:
            mirrored = [rng.random() < 0.5 for _ in names]
            things = [Placed(*row) for row in zip(names, boxes, longest, mirrored, strict=True)]
            in_depth = tuple(things[i] for i in _depth(claims, boxes))
            return Scene(stuff, in_depth, rng.getrandbits(31))
    raise Crowded(f"{list(names)} with {list(claims)}")


def _draw_sizes(
    rng: random.Random, names: Sequence[str], claims: Sequence[Claim], limits: tuple[int, int]
) -> list[int]:
    """Longest sides."""
    low, high = limits
    longest = [rng.randint(low, high) for _ in names]
    for claim in claims:
        if claim.relation == "in":
            longest[claim.subject] = rng.randint(30, 40)
            longest[claim.objects[0]] = rng.randint(54, 68)
    return longest


def _place(
    rng: random.Random,
    sizes: Sequence[tuple[int, int]],
    claims: Sequence[Claim],
    regions: dict[str, Box],
) -> list[Box] | None:
    """Boxes of these sizes, one after the other, what claims refer to before what they state."""
    touching = {(claim.subject, i) for claim in claims for i in claim.objects
                if claim.relation in TOUCHING}  # fmt: skip
    order = sorted(
        range(len(sizes)), key=lambda i: sum(len(c.objects) for c in claims if c.subject == i)
    )
    placed: dict[int, Box] = {}
    for i in order:
        others = [(j, (i, j) in touching or (j, i) in touching) for j in placed]
        due = [claim for claim in claims if i in (claim.subject, *claim.objects)
               and {claim.subject, *claim.objects} <= {i, *placed}]  # fmt: skip
        for _ in range(TRIES):
            box = _somewhere(rng, i, sizes[i], due, placed, regions)
            if (
                _inside(box)
                and all(touches or box.iou(placed[j]) <= OVERLAP for j, touches in others)
                and all(_holds(claim, {**placed, i: box}, regions) for claim in due)
            ):
                placed[i] = box
                break
        else:
            return None
    return [placed[i] for i in range(len(sizes))]


def _inside(box: Box) -> bool:
    return (
        box.left >= BORDER and box.top >= BORDER
        and box.right <= SIDE - BORDER and box.bottom <= SIDE - BORDER
    )  # fmt: skip


def _somewhere(
    rng: random.Random,
    i: int,
    size: tuple[int, int],
    due: Sequence[Claim],
    placed: dict[int, Box],
    regions: dict[str, Box],
) -> Box:
    """A box anywhere, or near where a claim wants it."""
    for claim in due:
        if claim.subject == i:
            near = _near(rng, claim, size, [placed[j] for j in claim.objects], regions)
            if near:
                return near
    width, height = size
    left = BORDER + int(rng.random() * (SIDE - 2 * BORDER - width + 1))
    top = BORDER + int(rng.random() * (SIDE - 2 * BORDER - height + 1))
    return Box(left, top, left + width, top + height)


def _near(
    rng: random.Random,
    claim: Claim,
    size: tuple[int, int],
    others: Sequence[Box],
    regions: dict[str, Box],
) -> Box | None:
    """A box of `size` that is likely to hold the claim; None where any place is as good."""
    width, height = size
    if claim.stuff:
        region = regions[claim.stuff]
        left = rng.uniform(BORDER, SIDE - BORDER - width)
        top, bottom = region.top, region.bottom
        if claim.relation == "below":
            top, bottom = region.bottom + height - EDGE, SIDE - BORDER
        bottom = rng.uniform(max(top, height), max(bottom, top))
    elif claim.relation == "between":
        b, c = others
        left = (b.x + c.x - width) / 2 + rng.uniform(-8, 8)
        bottom = (b.y + c.y + height) / 2 + rng.uniform(-8, 8)
    elif claim.relation == "in":
        (b,) = others
        left = b.x - width / 2 + rng.uniform(-0.08, 0.08) * b.width
        bottom = b.top + rng.uniform(0.62, 0.72) * b.height
    elif claim.relation == "on":
        (b,) = others
        left = b.x - width / 2 + rng.uniform(-0.15, 0.15) * b.width
        bottom = b.top + rng.uniform(0.0, 0.04) * b.height
    elif claim.relation == "beside":
        (b,) = others
        gap = rng.uniform(1, 12)
        left = b.right + gap if rng.random() < 0.5 else b.left - gap - width
        bottom = b.bottom + rng.uniform(-0.12, 0.12) * b.height
    elif claim.relation in ("front", "behind"):
        (b,) = others
        sign = 1 if claim.relation == "front" else -1
        left = b.x - width / 2 + rng.uniform(-0.6, 0.6) * b.width
        bottom = b.bottom + sign * rng.uniform(0.22, 0.5) * min(height, b.height)
    else:
        return None
    left, bottom = round(left), round(bottom)
    return Box(left, bottom - height, left + width, bottom)


def _depth(claims: Sequence[Claim], boxes: Sequence[Box]) -> list[int]:
    """Indices from back to front: what stands lower is nearer, what is in another is behind it."""
    nearness = [box.bottom for box in boxes]
    for claim in claims:
        if claim.relation == "in":
            nearness[claim.subject] = nearness[claim.objects[0]] - SIDE
    return sorted(range(len(boxes)), key=lambda i: nearness[i])


Rule = Callable[[Box, Sequence[Box]], bool]


def _beside(a: Box, b: Box) -> bool:
    """Level with it, and no further off than half of the larger one's width."""
    gap = max(a.left, b.left) - min(a.right, b.right)
    level = min(a.bottom, b.bottom) - max(a.top, b.top) >= 0.6 * min(a.height, b.height)
    return level and 0 <= gap <= 0.5 * max(a.width, b.width)


def _between(a: Box, b: Box, c: Box) -> bool:
    """Near the middle of the line from b to c, which are on different sides of it."""
    for low, high, centre, across in (
        (min(b.x, c.x), max(b.x, c.x), a.x, max(abs(a.y - b.y), abs(a.y - c.y))),
        (min(b.y, c.y), max(b.y, c.y), a.y, max(abs(a.x - b.x), abs(a.x - c.x))),
    ):
        span = high - low
        if low + 0.3 * span <= centre <= high - 0.3 * span and across <= 0.2 * span:
            return True
    return False


def _occludes(front: Box, back: Box) -> bool:
    """The front one stands lower and hides a part of the back one, not most."""
    hidden = front.common(back) / back.area
    return front.bottom - back.bottom >= 0.2 * back.height and 0.06 <= hidden <= 0.45


RULES: dict[Relation, Rule] = {
    "left": lambda a, o: o[0].x - a.x >= max(20, 1.4 * abs(a.y - o[0].y)),
    "right": lambda a, o: a.x - o[0].x >= max(20, 1.4 * abs(a.y - o[0].y)),
    "above": lambda a, o: o[0].y - a.y >= max(20, 1.4 * abs(a.x - o[0].x)),
    "below": lambda a, o: a.y - o[0].y >= max(20, 1.4 * abs(a.x - o[0].x)),
    "on": lambda a, o: o[0].y - a.y >= 1.4 * abs(a.x - o[0].x) and a.iou(o[0]) < 0.06,
    "beside": lambda a, o: _beside(a, o[0]),
    "between": lambda a, o: _between(a, o[0], o[1]),
    "in": lambda a, o: a.common(o[0]) >= 0.6 * a.area and abs(a.x - o[0].x) < 0.25 * o[0].width,
    "front": lambda a, o: _occludes(a, o[0]),
    "behind": lambda a, o: _occludes(o[0], a),
    "top_left": lambda a, o: a.x < 0.36 * SIDE and a.y < 0.36 * SIDE,
    "top_right": lambda a, o: a.x > 0.64 * SIDE and a.y < 0.36 * SIDE,
    "bottom_left": lambda a, o: a.x < 0.36 * SIDE and a.y > 0.64 * SIDE,
    "bottom_right": lambda a, o: a.x > 0.64 * SIDE and a.y > 0.64 * SIDE,
    "center": lambda a, o: abs(a.x / SIDE - 0.5) < 0.1 and abs(a.y / SIDE - 0.5) < 0.1,
    "left_part": lambda a, o: a.x < 0.36 * SIDE,
    "right_part": lambda a, o: a.x > 0.64 * SIDE,
    "top_part": lambda a, o: a.y < 0.36 * SIDE,
    "bottom_part": lambda a, o: a.y > 0.64 * SIDE,
    # A thing is at a ground that it stands on, or in the sky.
    "at": lambda a, o: o[0].top + 4 <= a.bottom <= o[0].bottom and a.y >= o[0].top - 8,
}


def _holds(claim: Claim, boxes: Mapping[int, Box], regions: dict[str, Box]) -> bool:
    subject = boxes[claim.subject]
    if not claim.stuff:
        return RULES[claim.relation](subject, [boxes[i] for i in claim.objects])
    region = regions[claim.stuff]
    if claim.relation == "below" and subject.top < region.bottom - EDGE:
        return False
    return RULES[claim.relation](subject, [region])
