"""What a planner has to beat: layouts that know nothing of what the caption says."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_array

from spatialgen.layouts import Layout, Placed
from spatialgen.planner.scores import Example

AT_ONCE = 256  # captions that are compared with all known ones


def copy_nearest(captions: Sequence[str], known: Sequence[Example]) -> list[Layout]:
    """For each caption the layout of the known one that shares most pairs of characters with it
    (Dice's coefficient of their sets of bigrams), the first of equals."""
    places = {pair: n for n, pair in enumerate({p for each in known for p in _pairs(each.caption)})}
    there = _indicators([each.caption for each in known], places)
    sizes = np.array([len(_pairs(each.caption)) for each in known])
    layouts = []
    for first in range(0, len(captions), AT_ONCE):
        asked = captions[first : first + AT_ONCE]
        common = (_indicators(asked, places) @ there.T).toarray()
        own = np.array([len(_pairs(caption)) for caption in asked])
        nearest = (common / (own[:, None] + sizes)).argmax(1)
        layouts += [known[place].layout for place in nearest]
    return layouts


def _pairs(caption: str) -> set[str]:
    return {a + b for a, b in zip(f" {caption}", f"{caption} ", strict=True)}


def _indicators(captions: Sequence[str], places: Mapping[str, int]) -> csr_array:
    """Which of the known pairs each caption has, [captions, pairs]."""
    found = [
        (row, places[pair])
        for row, caption in enumerate(captions)
        for pair in _pairs(caption)
        if pair in places
    ]
    rows, columns = np.array(found, np.int64).reshape(-1, 2).T
    ones = np.ones(len(found), np.float32)
    return csr_array((ones, (rows, columns)), shape=(len(captions), len(places)))


def by_chance(examples: Sequence[Example], known: Sequence[Example], seed: int = 0) -> list[Layout]:
    """For each example its own things, each in a box drawn from all known ones."""
    boxes = [placed.bbox for each in known for placed in each.layout]
    rng = random.Random(seed)
    return [
        tuple(Placed(placed.name, rng.choice(boxes)) for placed in each.layout) for each in examples
    ]
