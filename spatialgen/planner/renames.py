"""Captions whose things have other names, so that a planner copies names that it has never seen."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np

from spatialgen.layouts import Layout, Placed
from spatialgen.relations.segment import common_nouns

CHINESE = re.compile("[\u4e00-\u9fff]+")


@cache
def taught_nouns() -> tuple[str, ...]:
    """Every other common noun: what things are called in training."""
    return common_nouns()[::2]


def unseen_nouns(captions: Sequence[str]) -> tuple[str, ...]:
    """The others, but for those that one of these captions holds."""
    known = "\n".join(captions)
    return tuple(noun for noun in common_nouns()[1::2] if noun not in known)


def rename(
    caption: str, layout: Layout, rng: np.random.Generator, nouns: Sequence[str]
) -> tuple[str, Layout, dict[str, str]]:
    """The caption and layout with every thing that the caption names once in Chinese called by one
    of the nouns, at random, and which by which."""
    others: dict[str, str] = {}
    names = dict.fromkeys(each.name for each in layout)
    for name in names:
        other = nouns[int(rng.integers(len(nouns)))]
        said_once = CHINESE.fullmatch(name) and caption.count(name) == 1
        part = any(name != each and name in each for each in names)
        if said_once and not part and other not in caption + "".join(others.values()):
            others[name] = other
    return *call(caption, layout, others), others


def call(caption: str, layout: Layout, others: Mapping[str, str]) -> tuple[str, Layout]:
    """The caption and layout with these names replaced by others; an English one where it is a
    whole word."""
    if others:
        # At once, as a name may be part of a new one.
        caption = mentions(others).sub(lambda match: others[match[0]], caption)
    return caption, tuple(Placed(others.get(each.name, each.name), each.bbox) for each in layout)


def mentions(names: Iterable[str]) -> re.Pattern[str]:
    """What finds each of these names in a text; an English one where it is a whole word."""
    forms = [rf"(?<!\w){re.escape(n)}(?!\w)" if n.isascii() else re.escape(n) for n in names]
    return re.compile("|".join(forms))
