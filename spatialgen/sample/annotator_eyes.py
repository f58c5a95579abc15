"""Qwen2-VL's vision tower for many pictures of one size at once.

transformers embeds patches with a convolution that is slow on a CPU, and attends picture by
picture. With equal grids a matrix product and one attention do the same (a test compares them) in
half of the time.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def see_batch(visual: Any, patches: Tensor, side: int) -> Tensor:
    """[n, tokens, width] visual tokens of `patches` [n x side ** 2, values], a grid of side x side
    patches each, whose two frames are equal."""
    merge = visual.spatial_merge_size
    cosine, sine = visual.rotary_pos_emb(patches, _places(side, merge).to(patches.device))
    weight = visual.patch_embed.proj.weight  # [width, channels, frames, height, width]
    width, channels, frames = weight.shape[:3]
    one_frame = patches.view(-1, channels, frames, weight[0, 0, 0].numel())[:, :, 0].flatten(1)
    states = F.linear(one_frame, weight.sum(2).flatten(1)).view(-1, side**2, width)
    for block in visual.blocks:
        attention = block.attn
        joined = attention.qkv(block.norm1(states))
        joined = joined.view(*states.shape[:2], 3, attention.num_heads, -1)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        query = _rotate(query, cosine, sine)
        key = _rotate(key, cosine, sine)
        mixed = F.scaled_dot_product_attention(query, key, value)
        states = states + attention.proj(mixed.transpose(1, 2).flatten(2))
        states = states + block.mlp(block.norm2(states))
    merged: Tensor = visual.merger(states.flatten(0, 1))
    return merged.view(len(states), side**2 // merge**2, -1)


def _places(side: int, merge: int) -> Tensor:
    """[side ** 2, 2] row and column of each patch, patches that are merged side by side."""
    line = torch.arange(side).view(side // merge, merge)
    rows = line[:, None, :, None].expand(-1, side // merge, -1, merge)
    columns = line[None, :, None, :].expand(side // merge, -1, merge, -1)
    return torch.stack([rows.flatten(), columns.flatten()], -1)


def _rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = states.chunk(2, -1)
    return states * cosine + torch.cat((-second, first), -1) * sine
