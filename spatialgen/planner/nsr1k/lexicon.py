"""Words of a language that a base hardly knows, as tokens of their own.

A tokenizer made for Chinese spells English letter by letter, and a model then has to learn words
before it can learn what they say of positions. One that knows English gets hardly a token here.
"""

import re
from collections import Counter
from collections.abc import Iterable

import torch
from tokenizers import AddedToken

from spatialgen.planner.embeddings import embeddings, make_room
from spatialgen.planner.planner import LayoutPlanner

TIMES = 3  # that a word has to occur
PIECES = 2  # that a known word has at most, with the space before it


def with_words(planner: LayoutPlanner, texts: Iterable[str]) -> LayoutPlanner:
    """The planner with a token for each word of the texts that occurs TIMES or more and that its
    tokenizer cuts into more than PIECES; it begins at the mean of these."""
    model, tokenizer = planner.model, planner.tokenizer
    counts = Counter(word for text in texts for word in re.findall(r"[A-Za-z]+", text))
    words = sorted(word for word, times in counts.items() if times >= TIMES)
    pieces = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
    cut = {word: ids for word, ids in zip(words, pieces, strict=True) if len(ids) > PIECES}
    if not cut:
        return planner
    tokenizer.add_tokens([AddedToken(word, single_word=True) for word in cut])
    make_room(model, tokenizer)
    with torch.no_grad():
        for table in embeddings(model):
            for word, ids in cut.items():
                table[tokenizer.convert_tokens_to_ids(word)] = table[ids].mean(0)
    return LayoutPlanner(model, tokenizer, planner.vocabulary)
