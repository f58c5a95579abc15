"""Prompt states without the copies of their pads, bit for bit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.encode.generator import same_bits
from spatialgen.encode.states import DTYPES, PromptStates


@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 5), st.sampled_from(sorted(DTYPES)))
def test_what_is_compact_expands_to_the_same_bits(pads, words, width, dtype):
    torch.manual_seed(pads * 100 + words)
    rows = torch.randn(1 + words, width).to(DTYPES[dtype])
    full = torch.cat([rows[:1].expand(pads, -1), rows[1:]])
    pooled = torch.randn(3).to(DTYPES[dtype])
    states = PromptStates.compact(full, pooled)
    assert (states.pads, len(states.states), states.dtype) == (pads, 1 + words, dtype)
    assert same_bits(states.expand(), full)
    content, summary = states.to_bytes()
    assert len(content) == (1 + words) * width * full.element_size()
    again = PromptStates.from_bytes(
        content, summary, pads=states.pads, rows=len(states.states), dtype=dtype
    )
    assert same_bits(again.expand(), full)
    assert same_bits(again.pooled, pooled)


def test_only_bits_count():
    zeros = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [0.0, 1.0]])
    states = PromptStates.compact(zeros, zeros[0])
    assert states.pads == 1, "-0.0 equals 0.0 and is another state"
    assert same_bits(states.expand(), zeros)
    undefined = torch.full((4, 2), float("nan"))
    assert PromptStates.compact(undefined, undefined[0]).pads == 4
    assert not same_bits(zeros[0], zeros[1])
    assert not same_bits(zeros, zeros.half())


def test_a_row_that_comes_back_later_is_no_pad():
    full = torch.tensor([[1.0], [1.0], [2.0], [1.0]])
    states = PromptStates.compact(full, full[0])
    assert (states.pads, states.states.tolist()) == (2, [[1.0], [2.0], [1.0]])
    assert torch.equal(states.expand(), full)


def test_other_dtypes_are_refused():
    with pytest.raises(KeyError):
        PromptStates.compact(torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2))
