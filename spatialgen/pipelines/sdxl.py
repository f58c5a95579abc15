"""`StableDiffusionXLSpatialPipeline`: SDXL, told where things are."""

from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline

from spatialgen.pipelines.layout import LayoutMixin, with_layout_arguments


class StableDiffusionXLSpatialPipeline(LayoutMixin, StableDiffusionXLPipeline):  # type: ignore[misc]
    """diffusers' StableDiffusionXLPipeline with a spatial adapter.

    >>> base = "stabilityai/stable-diffusion-xl-base-1.0"
    >>> pipe = StableDiffusionXLSpatialPipeline.from_pretrained(base)
    >>> pipe.load_spatial_adapter("models/adapter")
    >>> pipe("a panda and an apple", layout_phrases=["panda", "apple"],
    ...      layout_boxes=[[0.0, 0.3, 0.5, 0.9], [0.5, 0.4, 1.0, 0.9]]).images[0]
    """

    @torch.no_grad()
    def __call__(self, *args: Any, **named: Any) -> Any:
        """Paint; see StableDiffusionXLPipeline.__call__, and LayoutMixin for what is added."""
        return self._call(super().__call__, args, named)

    __call__.__signature__ = with_layout_arguments(StableDiffusionXLPipeline.__call__)  # type: ignore[attr-defined]
