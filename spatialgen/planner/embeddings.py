"""Rows of token embeddings: room for new tokens, and where these begin."""

from typing import Any

import torch

from spatialgen.planner.vocabulary import Vocabulary


def make_room(model: Any, tokenizer: Any) -> None:
    """Grow the embeddings where the tokenizer has more tokens; many have spare rows."""
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)


def embeddings(model: Any) -> list[torch.Tensor]:
    """The tables of token embeddings, in and out: one where they are tied."""
    both = (model.get_input_embeddings().weight, model.get_output_embeddings().weight)
    return list({id(table): table for table in both}.values())


def begin_near_mean(model: Any, known: int, vocabulary: Vocabulary, seed: int) -> None:
    """New rows of the embeddings: the mean of the old ones and a little noise, so that they differ.

    Bins lie on a line: neighbours begin alike.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for table in embeddings(model):
            old = table[:known].float()
            mean, spread = old.mean(0), old.std(0)
            for token in vocabulary.ids:
                if token >= known:
                    noise = torch.randn(mean.shape, generator=generator)
                    table[token] = (mean + 0.5 * spread * noise).to(table.dtype)
            ends = torch.randn(2, len(mean), generator=generator) * spread
            for place, token in enumerate(vocabulary.bins):
                share = place / (len(vocabulary.bins) - 1)
                table[token] += (ends[0] * (1 - share) + ends[1] * share).to(table.dtype)
