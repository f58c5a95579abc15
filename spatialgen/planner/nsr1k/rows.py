"""Prompts of NSR-1K as rows to train on."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialgen.lake.ids import h64
from spatialgen.layouts import Layout, format_layout
from spatialgen.planner.nsr1k.files import Prompt, SpatialPrompt
from spatialgen.planner.nsr1k.words import renamed, said_otherwise
from spatialgen.training.order import digest_of

HELD_OUT = 8  # one picture in so many chooses the checkpoint, and trains nothing
COPIES = 8  # of a prompt, that differ


@dataclass(frozen=True)
class PromptRows:
    """Captions and layouts in memory, each once, as rows to train on."""

    known: dict[int, tuple[str, Layout]]  # by row_id, in ascending order

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, Layout]]) -> "PromptRows":
        """The rows of (caption, layout) pairs; their content is their identity."""
        found = {
            h64("nsr1k", text, format_layout(layout)): (text, layout) for text, layout in pairs
        }
        return cls(dict(sorted(found.items())))

    @cached_property
    def row_ids(self) -> NDArray[np.int64]:
        """[rows]"""
        return np.array([*self.known], np.int64)

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the row ids."""
        return digest_of(self.row_ids)

    def __len__(self) -> int:
        return len(self.known)

    def read(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """row_id, caption and objects of the rows at these places of `row_ids`."""
        rows = []
        for row_id in self.row_ids[np.asarray(places, np.int64)].tolist():
            text, layout = self.known[row_id]
            objects = [{"name": each.name, "bbox": each.bbox} for each in layout]
            rows.append({"row_id": row_id, "caption": text, "objects": objects})
        return rows


def hold_out(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """The prompts to train on, and those of one picture in HELD_OUT, chosen by its hash: no picture
    is on both sides."""
    pictures = sorted({each.image for each in prompts}, key=lambda image: h64("nsr1k", str(image)))
    held = set(pictures[: max(1, len(pictures) // HELD_OUT)])
    kept: list[Prompt] = []
    chosen: list[Prompt] = []
    for prompt in prompts:
        (chosen if prompt.image in held else kept).append(prompt)
    return kept, chosen


def pairs_of(prompts: Sequence[Prompt]) -> list[tuple[str, Layout]]:
    """Captions and layouts of the prompts."""
    return [(each.text, each.layout) for each in prompts if each.layout]


def copies_of(prompts: Sequence[SpatialPrompt]) -> list[tuple[str, Layout]]:
    """Captions and layouts of the prompts, each COPIES times: as it is, then said otherwise of the
    same boxes, half of these with other things, of which the relation is as true."""
    names = sorted({name for each in prompts for name in each.names})
    found = pairs_of(prompts)
    for prompt in prompts:
        for copy in range(1, COPIES if prompt.layout else 1):
            chance = random.Random(h64(str(prompt.id), prompt.text, str(copy)))
            text, layout = prompt.text, prompt.layout
            if copy % 2:
                text, layout = renamed(text, layout, chance.sample(names, 2))
            found.append((chance.choice([text, *said_otherwise(text)]), layout))
    return found
