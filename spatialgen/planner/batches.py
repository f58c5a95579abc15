"""From rows of the lake to tokens that a planner is trained on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from spatialgen.layouts import Layout, make_layout, mirror
from spatialgen.planner.renames import rename, taught_nouns
from spatialgen.planner.vocabulary import Vocabulary
from spatialgen.relations.swap import swap_sides
from spatialgen.training.order import row_generator
from spatialgen.training.task import Batch

IGNORED = -100


@dataclass(frozen=True)
class LayoutBatches:
    """Makes batches, without the model, so that worker processes get none. `mirrored`: share of the
    rows shown as in a mirror, where `swap` finds words for it; `renamed`: share of those whose
    things have other names."""

    tokenizer: Any
    vocabulary: Vocabulary
    seed: int
    mirrored: float
    swap: Callable[[str], str | None] = swap_sides
    renamed: float = 0.0

    def __call__(self, rows: list[dict[str, Any]], epochs: list[int]) -> Batch:
        """input_ids, attention_mask and labels, [rows, length], padded on the left, so that all
        layouts end at the same place; labels hold the layout alone."""
        texts = [self._tokens(row, epoch) for row, epoch in zip(rows, epochs, strict=True)]
        length = max(len(prompt) + len(layout) for prompt, layout in texts)
        longest = max(len(layout) for _, layout in texts)
        ids = torch.full((len(texts), length), self.tokenizer.pad_token_id)
        labels = torch.full((len(texts), longest), IGNORED)
        mask = torch.zeros_like(ids)
        for row, (prompt, layout) in enumerate(texts):
            ids[row, length - len(prompt) - len(layout) :] = torch.tensor([*prompt, *layout])
            mask[row, length - len(prompt) - len(layout) :] = 1
            labels[row, longest - len(layout) :] = torch.tensor(layout)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    def _tokens(self, row: Mapping[str, Any], epoch: int) -> tuple[list[int], list[int]]:
        caption, layout = row["caption"], in_order(row["caption"], make_layout(row["objects"]))
        rng = row_generator(row["row_id"], self.seed, epoch)
        if rng.random() < self.mirrored:
            swapped = self.swap(caption)
            if swapped is not None:
                caption, layout = swapped, mirror(layout)
        if rng.random() < self.renamed:
            caption, layout, _ = rename(caption, layout, rng, taught_nouns())
        vocabulary, tokenizer = self.vocabulary, self.tokenizer
        return vocabulary.ask(caption, tokenizer), vocabulary.write(layout, tokenizer)


def in_order(caption: str, layout: Layout) -> Layout:
    """The things in the order in which the caption names them, those of one name from left to
    right."""
    return tuple(
        sorted(layout, key=lambda each: (_place(caption, each.name), each.name, each.bbox))
    )


def _place(caption: str, name: str) -> int:
    place = caption.find(name)
    return place if place >= 0 else len(caption)
