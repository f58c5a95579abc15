"""IP-Adapter beside the spatial adapter, whichever is loaded first."""

from pathlib import Path
from typing import Any

import pytest
import torch

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.pipelines.sdxl import StableDiffusionXLSpatialPipeline
from tests.pipelines.test_layout import THINGS, paint

SEEN = 8  # width of a picture's embedding


def random_ip_adapter(unet: Any) -> dict[str, Any]:
    """Weights in IP-Adapter's own names and shapes: 4 tokens of a picture."""
    torch.manual_seed(6)
    wide = unet.config.cross_attention_dim
    layers: dict[str, torch.Tensor] = {}
    for number, (name, _) in enumerate(unet.attn_processors.items()):
        if "attn1" in name:
            continue
        hidden = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            layers[f"{number}.{part}.weight"] = torch.randn(hidden, wide) * 0.2
    return {
        "image_proj": {
            "proj.weight": torch.randn(4 * wide, SEEN) * 0.2,
            "proj.bias": torch.zeros(4 * wide),
            "norm.weight": torch.ones(wide),
            "norm.bias": torch.zeros(wide),
        },
        "ip_adapter": layers,
    }


@pytest.mark.parametrize("first", ["ip_adapter", "spatial_adapter"])
def test_both_have_their_say(bases: dict[str, Path], first: str) -> None:
    from tests.pipelines.conftest import random_adapter

    pipe = StableDiffusionXLSpatialPipeline.from_pretrained(bases["sdxl"], dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    adapter: SpatialAdapter = random_adapter(pipe.unet, 64)
    if first == "spatial_adapter":
        pipe.load_spatial_adapter(adapter)
    pipe.unet._load_ip_adapter_weights([random_ip_adapter(pipe.unet)])
    if first == "ip_adapter":
        pipe.load_spatial_adapter(adapter)
    embeds = [torch.randn(2, 1, SEEN, generator=torch.Generator().manual_seed(7))]
    seen = {"ip_adapter_image_embeds": embeds}
    both, boxes, image = paint(pipe, **seen, **THINGS), None, paint(pipe, **seen)
    guided = paint(pipe, **seen, **THINGS, layout_guidance_scale=2.0)
    pipe.set_ip_adapter_scale(0.0)
    boxes = paint(pipe, **seen, **THINGS)
    for one, other in ((both, boxes), (both, image), (boxes, image), (both, guided)):
        assert not torch.allclose(one, other, atol=1e-2)
