"""A grammar of Chinese captions, each with the situation that it describes.

strong: a position relation between two drawable things, or a thing and a region of the picture.
weak: only the ground that things are on is named.
none: no position; things are named or counted, or the caption is web noise.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spatialgen.sample.world.classes import STUFF, THINGS, SpatialType
from spatialgen.sample.world.noise import web_noise
from spatialgen.sample.world.scenes import Claim, Relation

GROUNDS: tuple[tuple[str, ...], ...] = (  # stuff from top to bottom
    (),
    ("天空", "草地"),
    ("天空", "大海"),
    ("天空", "沙滩"),
    ("天空", "雪地"),
    ("天空", "道路"),
    ("天空", "大海", "沙滩"),
    ("草地", "道路"),
)
NUMBERS = {2: "两", 3: "三"}
MOST_THINGS = 4
PLURAL_SHARE = 0.2  # of the subjects that may be several
COUNTED_SHARE = 0.5  # of the single things, said with 一 and a measure word
STRONG_OF_SPATIAL = 0.65  # of the captions that are strong or weak, as in hand-labelled web rows
NOISE_OF_NONE = 0.75

WORDS: dict[Relation, tuple[str, ...]] = {
    "left": ("左边", "左侧", "左面"),
    "right": ("右边", "右侧", "右面"),
    "above": ("上方", "上面", "上边"),
    "below": ("下方", "下面", "下边"),
    "front": ("前面", "前方", "前边"),
    "behind": ("后面", "后方", "后边"),
    "beside": ("旁边", "边上"),
    "between": ("之间", "中间"),
    "top_left": ("左上角",),
    "top_right": ("右上角",),
    "bottom_left": ("左下角",),
    "bottom_right": ("右下角",),
    "center": ("中央", "正中间"),
    "left_part": ("左边", "左侧"),
    "right_part": ("右边", "右侧"),
    "top_part": ("上方",),  # 画面的上面 would be on top of the picture
    "bottom_part": ("下方",),
}
OPPOSITE: dict[Relation, Relation] = {
    "left": "right", "right": "left", "above": "below", "below": "above",
}  # fmt: skip
CORNERS: tuple[Relation, ...] = ("top_left", "top_right", "bottom_left", "bottom_right")
PARTS: tuple[Relation, ...] = ("left_part", "right_part", "top_part", "bottom_part")
PICTURE = ("画面", "图片", "照片")
ENDS = ("图片", "素材", "高清壁纸", "简笔画", "卡通图")  # of captions that list things


@dataclass(frozen=True)
class Situation:
    """A caption and what a picture of it must show."""

    caption: str
    spatial_type: SpatialType
    things: tuple[str, ...]  # one name per instance
    claims: tuple[Claim, ...]
    ground: tuple[str, ...]  # stuff from top to bottom


class Draft:
    """A situation being made: its things and claims so far."""

    def __init__(self, rng: random.Random, names: Sequence[str] = tuple(THINGS)) -> None:
        self.rng = rng
        self.names = names  # that it may speak of
        self.things: list[str] = []
        self.claims: list[Claim] = []
        self.ground = rng.choice(GROUNDS)

    def pick(self, *options: str) -> str:
        """One of the options."""
        return self.rng.choice(options)

    def word(self, relation: Relation) -> str:
        """A way to say the relation."""
        return self.rng.choice(WORDS[relation])

    def add(self, *, plural: bool = False, among: Sequence[str] = ()) -> "Group":
        """A thing of a class not used yet, or several of it if there is room."""
        free = [name for name in among or self.names if name not in self.things]
        name, count = self.rng.choice(free), 1
        if plural and self.rng.random() < PLURAL_SHARE:
            count = self.rng.choice(tuple(NUMBERS))
        first = len(self.things)
        self.things += [name] * count
        return Group(name, tuple(range(first, first + count)), self._said(name, count))

    def _said(self, name: str, count: int) -> str:
        measure = THINGS[name].measure
        if count > 1:
            return f"{NUMBERS[count]}{measure}{name}"
        return f"一{measure}{name}" if self.rng.random() < COUNTED_SHARE else name

    def claim(
        self, relation: Relation, subject: "Group", *objects: "Group", stuff: str | None = None
    ) -> None:
        """State that the relation holds for each thing of the subject."""
        others = tuple(index for group in objects for index in group.indices)
        self.claims += [Claim(relation, index, others, stuff) for index in subject.indices]


@dataclass(frozen=True)
class Group:
    """Things of one class that a caption speaks of together."""

    name: str
    indices: tuple[int, ...]
    said: str  # with number and measure word, or bare

    def __str__(self) -> str:
        return self.said


def _side(d: Draft) -> str:
    relation = d.rng.choice(tuple(OPPOSITE))
    b, a = d.add(), d.add(plural=True)
    d.claim(relation, a, b)
    here, there = d.word(relation), d.word(OPPOSITE[relation])
    be, also = d.pick("是", "有"), d.pick("是", "有")
    forms = [
        f"{a}在{b.name}的{here}",
        f"{a}在{b.name}{here}",
        f"{a}位于{b.name}的{here}",
        f"{b.name}的{here}{be}{a}",
        f"{b.name}{here}有{a}",
        f"{here}{be}{a}，{there}{also}{b}",
        f"{there}{also}{b}，{here}{be}{a}",
    ]
    if relation in ("left", "right"):
        forms.append(f"{a}在{here[0]}，{b}在{there[0]}")
    return d.pick(*forms)


def _on(d: Draft) -> str:
    b = d.add(among=[name for name in d.names if THINGS[name].carries])
    a = d.add()
    d.claim("on", a, b)
    return d.pick(f"{a}在{b.name}上", f"{b.name}上有{a}", f"{b.name}上的{a}")


def _corner(d: Draft) -> str:
    relation, a = d.rng.choice(CORNERS), d.add()
    d.claim(relation, a)
    return _place_in_picture(d, relation, a)


def _center(d: Draft) -> str:
    a = d.add()
    d.claim("center", a)
    return _place_in_picture(d, "center", a)


def _part(d: Draft) -> str:
    relation, a = d.rng.choice(PARTS), d.add(plural=True)
    d.claim(relation, a)
    return _place_in_picture(d, relation, a)


def _place_in_picture(d: Draft, relation: Relation, a: Group) -> str:
    place, picture = d.word(relation), d.pick(*PICTURE)
    return d.pick(
        f"{picture}{place}有{a}", f"{picture}的{place}是{a}", f"{a}在{picture}{place}",
        f"{a}在{picture}的{place}",
    )  # fmt: skip


def _beside(d: Draft) -> str:
    b, a = d.add(), d.add()
    d.claim("beside", a, b)
    there = d.word("beside")
    return d.pick(f"{a}在{b.name}{there}", f"{b.name}{there}有{a}", f"{b.name}的{there}是{a}")


def _between(d: Draft) -> str:
    b, c, a = d.add(), d.add(), d.add()
    d.claim("between", a, b, c)
    there = d.word("between")
    return d.pick(
        f"{a}在{b.name}和{c.name}{there}", f"{b.name}和{c.name}{there}有{a}",
        f"{b.name}与{c.name}的中间是{a}",
    )  # fmt: skip


def _in(d: Draft) -> str:
    b = d.add(among=[name for name in d.names if THINGS[name].holds])
    a = d.add()
    d.claim("in", a, b)
    there = d.pick("里", "里面")
    return d.pick(f"{a}在{b.name}{there}", f"{b.name}{there}有{a}", f"{b.name}{there}的{a}")


def _depth(d: Draft) -> str:
    relation: Relation = "front" if d.rng.random() < 0.5 else "behind"
    b, a = d.add(), d.add()
    d.claim(relation, a, b)
    there = d.word(relation)
    forms = [f"{a}在{b.name}{there}", f"{a}在{b.name}的{there}", f"{b.name}{there}有{a}"]
    if relation == "behind" and THINGS[a.name].alive:
        forms.append(f"躲在{b.name}{there}的{a}")
    return d.pick(*forms)


def _under_sky(d: Draft) -> str:
    d.ground = d.rng.choice([ground for ground in GROUNDS if "天空" in ground])
    a = d.add(plural=True)
    d.claim("below", a, stuff="天空")
    above, below = d.word("above"), d.word("below")
    return d.pick(f"{above}是天空，{below}是{a}", f"{below}有{a}，{above}是天空")


def _row(d: Draft) -> str:
    relation: Relation = d.rng.choice(("left", "above"))
    a, b, c = d.add(), d.add(), d.add()
    d.claim(relation, a, c)
    d.claim("between", b, a, c)
    first, last = d.word(relation), d.word(OPPOSITE[relation])
    return f"{first}是{a}，中间是{b}，{last}是{c}"


def _side_and_corner(d: Draft) -> str:
    corner = d.rng.choice(CORNERS)
    relation = d.rng.choice(tuple(OPPOSITE))
    a, b, c = d.add(), d.add(), d.add()
    d.claim(relation, a, b)
    d.claim(corner, c)
    return f"{a}在{b.name}的{d.word(relation)}，{c}在{d.word(corner)}"


def _two_corners(d: Draft) -> str:
    one, other = d.rng.sample(CORNERS, 2)
    a, b = d.add(), d.add()
    d.claim(one, a)
    d.claim(other, b)
    be = d.pick("是", "有")
    return f"{d.word(one)}{be}{a}，{d.word(other)}{be}{b}"


def _on_ground(d: Draft) -> str:
    d.ground = d.rng.choice(GROUNDS[1:])
    where = d.rng.choice(d.ground)
    a = d.add(plural=True)
    d.claim("at", a, stuff=where)
    place = STUFF[where].place
    forms = [f"{a}在{place}", f"{place}有{a}", f"{place}的{a}"]
    if len(d.things) < MOST_THINGS and d.rng.random() < 0.4:
        b = d.add()
        d.claim("at", b, stuff=where)
        forms = [f"{a}和{b}在{place}", f"{place}有{a}和{b}", f"{place}的{a}和{b}"]
    return d.pick(*forms)


def _named(d: Draft) -> str:
    a = d.add(plural=True)
    end = d.pick("", "", *ENDS)
    if len(d.things) < MOST_THINGS and d.rng.random() < 0.5:
        return f"{a}和{d.add()}{end}"
    return f"{d.pick('', '可爱的', '好看的') if a.said == a.name else ''}{a}{end}"


def _noise(d: Draft) -> str:
    for _ in range(d.rng.randint(1, MOST_THINGS)):
        d.add()
    return web_noise(d.rng)


Rule = Callable[[Draft], str]
STRONG: dict[Rule, int] = {  # weights
    _side: 9, _on: 2, _corner: 3, _center: 1, _part: 2, _beside: 4, _between: 3, _in: 2,
    _depth: 4, _under_sky: 1, _row: 2, _side_and_corner: 2, _two_corners: 2,
}  # fmt: skip
RULES: dict[SpatialType, dict[Rule, int]] = {
    "strong": STRONG,
    "weak": {_on_ground: 1},
    "none": {_named: 1},
}


def make_situation(rng: random.Random, spatial_type: SpatialType) -> Situation:
    """A caption of this type that speaks of the world, and its situation."""
    rules = RULES[spatial_type]
    return write_situation(rng, rng.choices(tuple(rules), tuple(rules.values()))[0], spatial_type)


def make_web_situation(rng: random.Random, spatial_share: float) -> Situation:
    """A row of the web: `spatial_share` strong or weak, the others mostly noise."""
    if rng.random() < spatial_share:
        strong = rng.random() < STRONG_OF_SPATIAL
        return make_situation(rng, "strong" if strong else "weak")
    if rng.random() < NOISE_OF_NONE:
        return write_situation(rng, _noise, "none")
    return make_situation(rng, "none")


def write_situation(
    rng: random.Random,
    rule: Rule,
    spatial_type: SpatialType,
    names: Sequence[str] = tuple(THINGS),
) -> Situation:
    """A situation of one rule, of things of these names."""
    draft = Draft(rng, names)
    caption = rule(draft)
    return Situation(caption, spatial_type, tuple(draft.things), tuple(draft.claims), draft.ground)
