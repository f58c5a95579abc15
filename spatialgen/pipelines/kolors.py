"""`KolorsSpatialPipeline`: Kolors, told where things are."""

from typing import Any

import torch
from diffusers import KolorsPipeline

from spatialgen.pipelines.layout import LayoutMixin, with_layout_arguments


class KolorsSpatialPipeline(LayoutMixin, KolorsPipeline):  # type: ignore[misc]
    """diffusers' KolorsPipeline with a spatial adapter.

    >>> pipe = KolorsSpatialPipeline.from_pretrained("spatialgen/sample/kolors-small")
    >>> pipe.load_spatial_adapter("models/adapter")
    >>> pipe("熊猫和苹果", layout_phrases=["熊猫", "苹果"],
    ...      layout_boxes=[[0.0, 0.3, 0.5, 0.9], [0.5, 0.4, 1.0, 0.9]]).images[0]
    """

    @torch.no_grad()
    def __call__(self, *args: Any, **named: Any) -> Any:
        """Paint; see KolorsPipeline.__call__, and LayoutMixin for what is added."""
        return self._call(super().__call__, args, named)

    __call__.__signature__ = with_layout_arguments(KolorsPipeline.__call__)  # type: ignore[attr-defined]
