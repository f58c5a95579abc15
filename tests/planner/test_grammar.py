"""The grammar: every walk through it is a layout, and nothing else passes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.planner.grammar import (
    MOST_OBJECTS,
    LayoutGrammar,
    LayoutState,
    MedianBins,
    name_tree,
)
from spatialgen.planner.vocabulary import Vocabulary
from tests.captions.models import tiny_tokenizer
from tests.planner.planners import BINS, CAPTIONS

TOKENIZER = tiny_tokenizer()
VOCABULARY = Vocabulary.of(TOKENIZER, BINS)
WORD = TOKENIZER("猫", add_special_tokens=False)["input_ids"][0]


def walk(caption, draw, names=True):
    """Tokens of a walk that `draw` chooses, up to the end."""
    state = LayoutState(VOCABULARY, name_tree(caption, TOKENIZER) if names else None)
    tokens = []
    while not state.done:
        allowed = state.allowed()
        tokens.append(draw(allowed if allowed is not None else [WORD, VOCABULARY.obj_end]))
        state.push(tokens[-1])
        assert len(tokens) < 1000
    return tokens


@given(st.data(), st.sampled_from(CAPTIONS))
def test_every_walk_is_a_layout_of_the_captions_words(data, caption):
    tokens = walk(caption, lambda allowed: data.draw(st.sampled_from(allowed)))
    layout = VOCABULARY.read(tokens, TOKENIZER)
    assert layout
    assert len(layout) <= MOST_OBJECTS
    for each in layout:
        assert each.name in caption
        x1, y1, x2, y2 = each.bbox
        assert 0 <= x1 < x2 <= 1
        assert 0 <= y1 < y2 <= 1


@given(st.data())
def test_names_of_any_text_are_as_long_as_is_allowed(data):
    def draw(allowed):
        return data.draw(st.sampled_from(allowed))

    state = LayoutState(VOCABULARY, None)
    state.push(draw(state.allowed()))
    for _ in range(16):
        assert state.allowed() is None
        state.push(WORD)
    assert state.allowed() == [VOCABULARY.obj_end]


def test_the_end_stays_at_the_end():
    state = LayoutState(VOCABULARY, None)
    state.done = True
    assert state.allowed() == [VOCABULARY.end]


@given(st.data(), st.sampled_from(CAPTIONS))
def test_a_torn_or_altered_text_is_none(data, caption):
    tokens = walk(caption, lambda allowed: data.draw(st.sampled_from(allowed)))
    assert VOCABULARY.read(tokens[:-1], TOKENIZER) is None, "it does not end"
    tokens[data.draw(st.integers(0, len(tokens) - 2))] = VOCABULARY.layout
    assert VOCABULARY.read(tokens, TOKENIZER) is None


def test_boxes_upside_down_are_none():
    b = VOCABULARY.bins
    corners = [b[3], b[3], b[3], b[5]]
    text = [VOCABULARY.obj, WORD, VOCABULARY.obj_end, VOCABULARY.box, *corners,
            VOCABULARY.box_end, VOCABULARY.end]  # fmt: skip
    assert VOCABULARY.read(text, TOKENIZER) is None


def test_a_caption_without_words_leaves_names_free():
    assert name_tree("。，！", TOKENIZER) == {}


@pytest.mark.parametrize("punctuation", ["，", "。", "（", " / "])
def test_no_name_reaches_over_punctuation(punctuation):
    tree = name_tree(f"猫{punctuation}狗", TOKENIZER)
    dog = TOKENIZER("狗", add_special_tokens=False)["input_ids"][0]
    assert set(tree) == {WORD, dog}
    assert set(tree[WORD]) == {-1}


def test_scores_of_what_is_not_allowed_are_minus_infinity():
    text = torch.zeros(len(TOKENIZER), dtype=torch.bool)
    grammar = LayoutGrammar(VOCABULARY, 2, [name_tree("猫", TOKENIZER), None], text)
    scores = torch.zeros(2, len(TOKENIZER) + 7)
    prompt = torch.full((2, 2), WORD)
    assert torch.isfinite(grammar(prompt, scores)).nonzero().tolist() == [
        [0, VOCABULARY.obj],
        [1, VOCABULARY.obj],
    ]
    written = torch.cat([prompt, torch.full((2, 1), VOCABULARY.obj)], 1)
    assert torch.isfinite(grammar(written, scores)).nonzero().tolist() == [[0, WORD]], (
        "no text token is allowed in the second row"
    )


def test_the_median_of_the_bins_is_taken_and_words_stay_as_they_are():
    bins = VOCABULARY.bins
    scores = torch.full((3, len(TOKENIZER)), -torch.inf)
    shares = torch.tensor([0.3, 0.0, 0.0, 0.25, 0.0, 0.45])
    scores[0, bins.start + 2 : bins.start + 8] = shares.log()  # the likeliest is the last
    scores[1, [bins.start, bins.start + 9]] = torch.tensor([0.0, 5.0])
    scores[2, [WORD, VOCABULARY.obj_end]] = 1.0
    chosen = MedianBins(VOCABULARY)(torch.zeros(3, 1), scores)
    assert chosen.argmax(-1)[:2].tolist() == [bins.start + 5, bins.start + 9]
    assert torch.isfinite(chosen[:2]).sum(-1).tolist() == [1, 1]
    assert torch.equal(chosen[2], scores[2])
