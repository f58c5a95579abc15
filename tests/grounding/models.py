"""Small vision-language models with random weights, in the real classes of each family."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from spatialgen.sample.tokenizer import common_characters, make_vision_tokenizer
from tests.captions.models import TINY

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def save_tiny(folder: Path, family: str) -> Path:
    """A checkpoint of this family in the published layout; 56 pixels square are 4 visual tokens."""
    tokenizer = make_vision_tokenizer([*common_characters(), *"，。：、“”"])
    token: Any = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 1000.0, "mrope_section": [1, 1, 2]}
    common: dict[str, Any] = {
        "text_config": {
            **TINY,
            "vocab_size": len(tokenizer),
            "rope_parameters": rope,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        "tie_word_embeddings": True,
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
    }
    vision: dict[str, Any] = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2}
    torch.manual_seed(0)
    model: Any
    if family == "qwen2_vl":
        eyes = vision | {"embed_dim": 32, "hidden_size": 32}
        model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(**common, vision_config=eyes))
    elif family == "qwen2_5_vl":
        eyes = vision | {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
        eyes |= {"fullatt_block_indexes": [1], "window_size": 56}
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**common, vision_config=eyes))
    else:
        eyes = vision | {"hidden_size": 32, "intermediate_size": 64, "out_hidden_size": 32}
        eyes |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 16}
        common["text_config"] |= {"head_dim": 8}
        model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**common, vision_config=eyes))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, size={"shortest_edge": 56 * 56, "longest_edge": 512 * 512}
    ).save_pretrained(folder)
    return folder
