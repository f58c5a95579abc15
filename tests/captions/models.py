"""Small causal language models with random weights, in real model classes."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from spatialgen.sample.tokenizer import common_characters, make_tokenizer
from tests.conftest import REPOSITORY

RUBRIC = (REPOSITORY / "spatialgen" / "captions" / "rubric.txt").read_text(encoding="utf-8")
TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.3,
}
LABELS = {"strong": "A", "weak": "B", "none": "C"}


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """A character tokenizer with Qwen2's special tokens and chat template."""
    return make_tokenizer([*common_characters(), *"，。：、"])


def tiny_qwen2(**options: Any) -> Qwen2ForCausalLM:
    """A Qwen2 for `tiny_tokenizer`; weights large enough that captions differ."""
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=len(tiny_tokenizer()), **(TINY | options))
    model = Qwen2ForCausalLM(config)
    model.train(False)
    return model


def tiny_of(kind: str, **options: Any) -> PreTrainedModel:
    """A small model of another architecture."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=len(tiny_tokenizer()), **options)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.train(False)
    return model


def save_tiny(folder: Path) -> Path:
    """A model folder in the published layout."""
    tiny_qwen2().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
