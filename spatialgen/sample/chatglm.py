"""Kolors' text encoder in small: its tokenizer, its first weights, and prompts without their pads.

Kolors pads every prompt to 256 tokens, and attends to the pads. All pads of a prompt are alike, so
one of them stands for n where log(n) is added to its attention logit: `encode_prompts` returns what
the stock pipeline sees at a tenth of its cost.
"""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer
from sentencepiece import SentencePieceTrainer
from torch import Tensor, nn

TOKENS = 256  # of a prompt: what KolorsPipeline pads to
WIDTH = 128
CONFIG: dict[str, Any] = {
    "num_layers": 3,  # the UNet sees the states before the last
    "hidden_size": WIDTH,
    "ffn_hidden_size": 2 * WIDTH,
    "kv_channels": WIDTH // 4,
    "num_attention_heads": 4,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "seq_length": TOKENS,
    "add_qkv_bias": True,
    "rmsnorm": True,
    "post_layer_norm": True,
    "original_rope": True,
}
UNET_BIAS = 10_000.0  # UNet2DConditionModel adds (mask - 1) x this to attention logits
HIDDEN = -UNET_BIAS  # hides as well as -inf, and stays a number where all is hidden


def make_tokenizer(characters: Iterable[str], path: Path) -> ChatGLMTokenizer:
    """A ChatGLMTokenizer with a piece for each character; `path` is its sentencepiece model."""
    model = io.BytesIO()  # for one written by name would hold that name
    known = sorted(set(characters))
    SentencePieceTrainer.train(
        sentence_iterator=iter(known),
        model_writer=model,
        model_type="char",
        vocab_size=len(known) + 3,  # unknown, begin, end
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())
    return ChatGLMTokenizer(str(path))


def make_text_encoder(tokenizer: ChatGLMTokenizer) -> ChatGLMModel:
    """A fresh encoder; ChatGLMModel itself leaves its weights uninitialised."""
    encoder = ChatGLMModel(ChatGLMConfig(padded_vocab_size=tokenizer.vocab_size, **CONFIG))
    for name, weights in encoder.named_parameters():
        if weights.ndim > 1:
            nn.init.normal_(weights, std=0.3 if "embeddings" in name else WIDTH**-0.5)
        elif "norm" in name:
            nn.init.ones_(weights)
        else:
            nn.init.zeros_(weights)
    return encoder


@dataclass(frozen=True)
class Prompts:
    """What a UNet is told: one pad, blanks that make the lengths equal, then a prompt's tokens."""

    states: Tensor  # [n, length, WIDTH]
    pooled: Tensor  # [n, WIDTH]
    mask: Tensor  # [n, length] `encoder_attention_mask`


def encode_prompts(encoder: ChatGLMModel, prompts: Sequence[Sequence[int]]) -> Prompts:
    """States of tokenised prompts, as after padding or cutting to TOKENS."""
    prompts = [ids[:TOKENS] for ids in prompts]
    device = encoder.embedding.word_embeddings.weight.device
    length = 1 + max(len(ids) for ids in prompts)
    ids = torch.zeros(len(prompts), length, dtype=torch.long)  # 0 is the pad, too
    places = torch.zeros_like(ids)
    pads = torch.zeros(len(prompts), 1)
    word = torch.zeros(len(prompts), length, dtype=torch.bool)
    for row, tokens in enumerate(prompts):
        ids[row, length - len(tokens) :] = torch.tensor(tokens)
        places[row, length - len(tokens) :] = torch.arange(len(tokens))
        word[row, length - len(tokens) :] = True
        padded = TOKENS - len(tokens)
        pads[row] = math.log(padded) if padded else HIDDEN
    seen = torch.where(word, 0.0, HIDDEN)
    seen[:, :1] = pads  # by a pad: all pads and every token
    causal = torch.full((length, length), HIDDEN).triu(1)
    by_word = torch.where(word[:, None], causal, HIDDEN)
    bias = torch.where(word[:, :, None], by_word, seen[:, None])
    states = encoder(
        input_ids=ids.to(device),
        position_ids=places.to(device),
        full_attention_mask=_Bias(bias[:, None].to(device)),
        output_hidden_states=True,
        use_cache=False,
    ).hidden_states
    return Prompts(states[-2].transpose(0, 1), states[-1][-1], (1 + seen / UNET_BIAS).to(device))


class _Bias:
    """Goes where ChatGLM takes a mask of what is hidden, which it inverts for torch's attention."""

    def __init__(self, bias: Tensor) -> None:
        self.bias = bias

    def __invert__(self) -> Tensor:
        return self.bias
