"""English words of positions: exchanged for a mirror, said otherwise, and read by a judge that
knows nothing of a prompt but its words."""

import re
from collections.abc import Iterator, Sequence

from spatialgen.layouts import Layout, boxes_by_name
from spatialgen.planner.nsr1k.rules import Direction, follows
from spatialgen.planner.renames import call, mentions

PHRASES: dict[Direction, tuple[str, ...]] = {
    "left": ("to the left of", "on the left of"),
    "right": ("to the right of", "on the right of"),
    "top": ("on top of", "above"),
    "bottom": ("under", "underneath", "below", "beneath"),
    "next to": ("next to", "beside"),
}
OPPOSITES: dict[Direction, Direction] = {
    "left": "right", "right": "left", "top": "bottom", "bottom": "top", "next to": "next to",
}  # fmt: skip
DIRECTION_OF = {phrase: way for way, phrases in PHRASES.items() for phrase in phrases}
POSITION = re.compile(rf"\b({'|'.join(DIRECTION_OF)})\b", re.IGNORECASE)
SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)
BACKWARDS = re.compile(r"\s*(it|them|each other)\b", re.IGNORECASE)


def swap_words(text: str) -> str | None:
    """The text of the mirrored picture; None where left or right mean something else than a
    position, as in "looking right at the camera"."""
    stated = [match for match in POSITION.finditer(text) if SIDE.search(match[0])]
    if len(stated) != len(SIDE.findall(text)):
        return None
    return POSITION.sub(lambda match: SIDE.sub(_other_side, match[0]), text)


def _other_side(side: re.Match[str]) -> str:
    return "right" if side[0].lower() == "left" else "left"


def said_otherwise(text: str) -> list[str]:
    """What else "a A to the left of a B" can be called: with other words, and seen from the other
    thing. Nothing for texts of another form."""
    form = re.compile(rf"(an? [\w ]+?) ({'|'.join(DIRECTION_OF)}) (an? [\w ]+)", re.IGNORECASE)
    match = form.fullmatch(text)
    if match is None:
        return []
    first, second = match[1].lower(), match[3].lower()
    way = DIRECTION_OF[match[2].lower()]
    ways = [(first, phrase, second) for phrase in PHRASES[way]]
    ways += [(second, phrase, first) for phrase in PHRASES[OPPOSITES[way]]]
    return [found for each in ways if (found := " ".join(each)) != text.lower()]


def renamed(text: str, layout: Layout, names: Sequence[str]) -> tuple[str, Layout]:
    """Text and layout of two things with other names; unchanged where the text does not name each
    of them just once."""
    old = [each.name for each in layout]
    if sorted(mentions(old).findall(text)) != sorted(old):
        return text, layout
    return call(text, layout, dict(zip(old, names, strict=True)))


def positions_not_shown(text: str, layout: Layout) -> int:
    """How many of the positions that the text's words state the layout does not show.

    A position is between the thing that is named last before its words and the one that is named
    first after them (before, where "it" or "each other" follows).
    """
    boxes = boxes_by_name(layout)
    shown = [
        follows(DIRECTION_OF[match[0].lower()], boxes[first], boxes[second])
        for match, first, second in _stated(text, [*boxes])
        if first and second
    ]
    return len(POSITION.findall(text)) - sum(shown)


def _stated(text: str, names: list[str]) -> Iterator[tuple[re.Match[str], str, str]]:
    """Each phrase, and the two things that it is about, as far as `names` holds them."""
    named = sorted(
        (match.start(), name) for name in names for match in mentions([name]).finditer(text)
    )
    for phrase in POSITION.finditer(text):
        before = [name for start, name in named if start < phrase.start()]
        after = [name for start, name in named if start >= phrase.end()]
        first = before[-1] if before else ""
        if BACKWARDS.match(text, phrase.end()):
            after = [name for name in reversed(before) if name != first]
        second = after[0] if after else ""
        yield phrase, first, second if second != first else ""
