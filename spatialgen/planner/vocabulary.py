"""The tokens of layouts: four markers, one that ends the caption, and bins of coordinates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from spatialgen.errors import InputError
from spatialgen.layouts import Layout, Placed

MARKERS = ("<layout>", "<obj>", "</obj>", "<box>", "</box>")


@dataclass(frozen=True)
class Vocabulary:
    """Ids of the tokens of layouts in one tokenizer; `bins` are consecutive coordinates of 0..1."""

    layout: int
    obj: int
    obj_end: int
    box: int
    box_end: int
    end: int  # of the text
    bins: range
    special: tuple[str, ...] = ()  # texts of special tokens

    @classmethod
    def of(cls, tokenizer: Any, bins: int) -> "Vocabulary":
        """The vocabulary in `tokenizer`, which gets the tokens that it lacks."""
        names = [*MARKERS, *(f"<c{number}>" for number in range(bins))]
        tokenizer.add_tokens(names, special_tokens=True)
        ids = tokenizer.convert_tokens_to_ids(names)
        first = ids[len(MARKERS)]
        if ids[len(MARKERS) :] != [*range(first, first + bins)]:
            raise InputError(
                f"the tokenizer has the bins <c0> to <c{bins - 1}> in another order; take a base "
                "without them, or a planner"
            )
        layout, obj, obj_end, box, box_end = ids[: len(MARKERS)]
        placed = range(first, first + bins)
        special = tuple(t.content for t in tokenizer.added_tokens_decoder.values() if t.special)
        return cls(layout, obj, obj_end, box, box_end, tokenizer.eos_token_id, placed, special)

    @property
    def ids(self) -> list[int]:
        """Every token of layouts but the end."""
        return [self.layout, self.obj, self.obj_end, self.box, self.box_end, *self.bins]

    def bin_of(self, coordinate: float) -> int:
        """The bin nearest to a coordinate in 0..1."""
        return min(max(round(coordinate * (len(self.bins) - 1)), 0), len(self.bins) - 1)

    def coordinate_of(self, token: int) -> float:
        """The coordinate that a bin's token stands for."""
        return (token - self.bins.start) / (len(self.bins) - 1)

    def ask(self, caption: str, tokenizer: Any) -> list[int]:
        """What stands before a layout: the tokens of the caption, and the one that ends it."""
        return [*self._words(" ".join(caption.split()), tokenizer), self.layout]

    def _words(self, text: str, tokenizer: Any) -> list[int]:
        """The tokens of a text; what would be a special one, such as <layout>, is mere text."""
        for special in self.special:
            if special in text:
                text = text.replace(special, " ".join(special))
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def write(self, layout: Layout, tokenizer: Any) -> list[int]:
        """The tokens of a layout and its end. A box that is thinner than a bin gets one bin."""
        ids: list[int] = []
        for each in layout:
            name = self._words(each.name, tokenizer)
            ids += [self.obj, *name, self.obj_end, self.box, *self._corners(each), self.box_end]
        return [*ids, self.end]

    def _corners(self, placed: Placed) -> Iterator[int]:
        x1, y1, x2, y2 = (self.bin_of(side) for side in placed.bbox)
        last = len(self.bins) - 1
        x1, y1 = min(x1, last - 1), min(y1, last - 1)
        for number in (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)):
            yield self.bins.start + number

    def read(self, ids: Sequence[int], tokenizer: Any) -> Layout | None:
        """The layout that these tokens write up to their end; None where they write none."""
        layout: list[Placed] = []
        rest = list(ids)
        if self.end not in rest:
            return None
        rest = rest[: rest.index(self.end)]
        special = {*self.ids, *tokenizer.all_special_ids}
        while rest:
            if rest[0] != self.obj or self.obj_end not in rest:
                return None
            stop = rest.index(self.obj_end)
            name = "" if special & {*rest[1:stop]} else tokenizer.decode(rest[1:stop]).strip()
            box = rest[stop + 1 : stop + 7]
            markers = [box[0], box[-1]] if len(box) == 6 else []
            if not name or markers != [self.box, self.box_end]:
                return None
            if not all(token in self.bins for token in box[1:5]):
                return None
            x1, y1, x2, y2 = (self.coordinate_of(token) for token in box[1:5])
            if not (x1 < x2 and y1 < y2):
                return None
            layout.append(Placed(name, (x1, y1, x2, y2)))
            rest = rest[stop + 7 :]
        return tuple(layout) or None
