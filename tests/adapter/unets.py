"""A tiny UNet of Kolors' kind with random weights, and what it is given."""

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from spatialgen.adapter.adapter import AdapterConfig, SpatialAdapter
from spatialgen.adapter.control import LayoutBatch
from spatialgen.sample.train_generator import UNET

NAME_WIDTH, TOKENS = 12, 7
SMALL = {"width": 8, "token_width": 16, "heads": 2, "frequencies": 3}
SIZE = (16, 24)  # of latents: not square


def tiny_unet(**changes: Any) -> UNet2DConditionModel:
    torch.manual_seed(1)
    small: dict[str, Any] = {
        "block_out_channels": (16, 32, 32),
        "attention_head_dim": (1, 2, 2),
        "norm_num_groups": 8,
        "cross_attention_dim": 32,
        "encoder_hid_dim": 24,
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 24 + 6 * 4,
    }
    return UNet2DConditionModel(**{**UNET, **small, **changes}).eval().requires_grad_(False)


def tiny_adapter(unet: UNet2DConditionModel, **changes: Any) -> SpatialAdapter:
    torch.manual_seed(2)
    config = AdapterConfig.of_unet(unet, NAME_WIDTH, **{**SMALL, **changes})
    return SpatialAdapter(config, {"base": "a/base"})


def trained_adapter(unet: UNet2DConditionModel, **changes: Any) -> SpatialAdapter:
    """One whose output is not zero."""
    adapter = tiny_adapter(unet, **changes)
    for part in adapter.parts.values():
        torch.nn.init.normal_(part.output.weight, std=0.3)
    return adapter


def inputs(rows: int = 2, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(3)
    return {
        "sample": torch.randn(rows, 4, *size, generator=rng),
        "timestep": torch.arange(rows) * 300 + 10,
        "encoder_hidden_states": torch.randn(rows, TOKENS, 24, generator=rng),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(rows, 24, generator=rng),
            "time_ids": torch.full((rows, 6), 64.0),
        },
    }


def layouts() -> LayoutBatch:
    """Two layouts, of two things and of one."""
    rng = torch.Generator().manual_seed(4)
    names = torch.randn(3, NAME_WIDTH, generator=rng)
    boxes = [[[0.1, 0.1, 0.4, 0.6], [0.5, 0.2, 0.9, 0.9]], [[0.3, 0.3, 0.8, 0.7]]]
    return LayoutBatch.of([[names[0], names[1]], [names[2]]], boxes, NAME_WIDTH)


def run(unet: UNet2DConditionModel, given: dict[str, Any]) -> Tensor:
    predicted: Tensor = unet(**given).sample
    return predicted
