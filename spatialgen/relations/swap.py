"""Captions that say the opposite: left for right, or above for below."""

import re
from collections.abc import Mapping
from functools import lru_cache

from spatialgen.relations.parse import Relation, read_caption
from spatialgen.relations.words import Kind

SIDEWAYS = str.maketrans("左右", "右左")
UPRIGHT = str.maketrans("上下", "下上")
KNOWN = 2**16  # captions whose words need not be read again in the next epoch
BARE = re.compile("[上下](?![面边方部侧角])")  # says on what, and has no opposite
OTHERWISE = re.compile(r"left|right|[东西][侧边面方部]|顺时针|逆时针", re.IGNORECASE)
PAIRS: tuple[tuple[Kind, Kind], ...] = (
    ("left", "right"),
    ("left_part", "right_part"),
    ("top_left", "top_right"),
    ("bottom_left", "bottom_right"),
)
UPRIGHT_PAIRS: tuple[tuple[Kind, Kind], ...] = (
    ("above", "below"),
    ("top_part", "bottom_part"),
    ("top_left", "bottom_left"),
    ("top_right", "bottom_right"),
)


@lru_cache(KNOWN)
def swap_sides(caption: str) -> str | None:
    """The caption of the mirrored picture; None where its words do not just change sides, as in
    左右 (about), where 左 is part of a name, or where sides are said otherwise (东侧, left)."""
    if OTHERWISE.search(caption):
        return None
    return _swapped(caption, SIDEWAYS, PAIRS)


@lru_cache(KNOWN)
def swap_heights(caption: str) -> str | None:
    """The caption with above and below exchanged, 上面 (on) counting as above; None where its words
    do not just change these, as in 边上 (beside) or 草地上 (on the grass)."""
    if BARE.search(caption):
        return None
    return _swapped(caption, UPRIGHT, UPRIGHT_PAIRS)


def _of(relation: Relation, opposite: Mapping[Kind, Kind]) -> Relation:
    """The relation as it is compared, or its opposite."""
    kind: Kind = "above" if relation.kind == "on" else relation.kind
    return Relation(opposite.get(kind, kind), relation.subject, relation.objects)


def _swapped(
    caption: str, letters: dict[int, int], pairs: tuple[tuple[Kind, Kind], ...]
) -> str | None:
    """The caption with these letters exchanged, if each has to do with a relation of `pairs`, and
    all other relations stay."""
    swapped = caption.translate(letters)
    if swapped == caption:
        return caption
    opposite: dict[Kind, Kind] = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    before, after = read_caption(caption).relations, read_caption(swapped).relations
    if not before or {_of(each, opposite) for each in before} != {_of(each, {}) for each in after}:
        return None
    for place, (old, new) in enumerate(zip(caption, swapped, strict=True)):
        one = caption[:place] + new + caption[place + 1 :]
        if old != new and read_caption(one).relations == before:
            return None  # it states no position, as in 边上
    return swapped
