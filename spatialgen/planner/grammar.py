"""What may come next in a layout, as a mask over the tokens, so that every text is one.

A layout is one object or more: `<obj>` name `</obj><box>` x1 y1 x2 y2 `</box>`, with x1 < x2 and
y1 < y2, then the end. A name is a piece of the caption, where names are to be copied, else any
text.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

from spatialgen.planner.vocabulary import Vocabulary

MOST_OBJECTS = 12
MOST_NAME_TOKENS = 16
MOST_TOKENS = MOST_OBJECTS * (MOST_NAME_TOKENS + 8) + 1  # of a layout, its end included
LONGEST_NAME = 8  # units of a copied name: Chinese characters, or words of other scripts
UNIT = re.compile(r"[0-9A-Za-z\u00c0-\u024f'-]+|\w")
END = -1  # in a tree of names: one ends here
Tree = dict[int, Any]


def name_tree(caption: str, tokenizer: Any) -> Tree:
    """The tokens of every piece of the caption that could be a name, as a tree. Whatever the
    tokenizer joins at the borders of a name is taken into account."""
    units = list(UNIT.finditer(caption))
    pieces = set()
    for number, first in enumerate(units):
        for last in units[number : number + LONGEST_NAME]:
            piece = caption[first.start() : last.end()]
            if not re.fullmatch(r"[\w' -]+", piece):
                break  # a name does not reach over punctuation
            pieces.add(piece)
    tree: Tree = {}
    if pieces:
        for ids in tokenizer(sorted(pieces), add_special_tokens=False)["input_ids"]:
            if len(ids) > MOST_NAME_TOKENS:
                continue
            node = tree
            for token in ids:
                node = node.setdefault(token, {})
            node[END] = {}
    return tree


class LayoutState:
    """How far the layout of one row is written."""

    def __init__(self, vocabulary: Vocabulary, names: Tree | None) -> None:
        self.vocabulary, self.names = vocabulary, names
        self.objects = 0
        self.tokens: list[int] = []  # of the object that is being written
        self.node = names
        self.done = False

    def push(self, token: int) -> None:
        """Go on by a token that was allowed."""
        if token == self.vocabulary.end:
            self.done = True
        elif token == self.vocabulary.box_end:
            self.objects += 1
            self.tokens, self.node = [], self.names
        else:
            if self.tokens and self.vocabulary.obj_end not in self.tokens and self.node:
                self.node = self.node.get(token)
            self.tokens.append(token)

    def allowed(self) -> list[int] | None:
        """The tokens that may come next; None for any text token, or the name's end."""
        vocabulary, tokens = self.vocabulary, self.tokens
        if self.done:
            return [vocabulary.end]
        if not tokens:
            starts = [vocabulary.obj] if self.objects < MOST_OBJECTS else []
            return [*starts, vocabulary.end] if self.objects else starts
        if vocabulary.obj_end not in tokens:
            return self._in_name()
        corners = tokens[tokens.index(vocabulary.obj_end) + 2 :]
        if tokens[-1] == vocabulary.obj_end:
            return [vocabulary.box]
        if len(corners) < 2:  # the last bin is left to x2 and y2
            return [*vocabulary.bins[:-1]]
        if len(corners) < 4:
            return [*range(corners[len(corners) - 2] + 1, vocabulary.bins.stop)]
        return [vocabulary.box_end]

    def _in_name(self) -> list[int] | None:
        end, length = self.vocabulary.obj_end, len(self.tokens) - 1
        if self.names is None:
            return [end] if length >= MOST_NAME_TOKENS else None
        node = self.node or {}
        return [end if token == END else token for token in node]


class LayoutGrammar(LogitsProcessor):
    """Masks the scores of each row to what its layout allows; for one call of `generate`."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt_length: int,
        names: Sequence[Tree | None],
        text_tokens: torch.Tensor,
    ) -> None:
        """`names`: a tree per row, or None where any name may be written; `text_tokens`: [V]
        booleans of the tokens that names may hold."""
        self.states = [LayoutState(vocabulary, tree) for tree in names]
        self.seen = prompt_length
        self.text_tokens, self.name_end = text_tokens, vocabulary.obj_end

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores of the next token, [rows, V], those not allowed at minus infinity."""
        mask = torch.full_like(scores, -torch.inf)
        for tokens in input_ids[:, self.seen :].T.tolist():
            for state, token in zip(self.states, tokens, strict=True):
                if not state.done:
                    state.push(token)
        self.seen = input_ids.shape[1]
        for row, state in enumerate(self.states):
            allowed = state.allowed()
            if allowed is None:
                mask[row, : len(self.text_tokens)][self.text_tokens] = 0
                if len(state.tokens) > 1:
                    mask[row, self.name_end] = 0
            else:
                mask[row, allowed] = 0
        return scores + mask


class MedianBins(LogitsProcessor):
    """Leaves of the scores of bins the median alone, where bins are allowed; after LayoutGrammar.

    A thing that may be in many places has as its likeliest bin one that is hardly likelier than the
    others; their median lies amid them all, and costs least in absolute distance.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.bins = vocabulary.bins

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [rows, V]; of rows where no bin is allowed, as they were."""
        of_bins = scores[:, self.bins.start : self.bins.stop]
        placing = torch.isfinite(of_bins).any(-1)
        below = (of_bins[placing].softmax(-1).cumsum(-1) < 0.5).sum(-1)
        median = self.bins.start + below.clamp(max=len(self.bins) - 1)
        alone = torch.full_like(scores[placing], -torch.inf).scatter_(-1, median[:, None], 0.0)
        chosen = scores.clone()
        chosen[placing] = alone
        return chosen
