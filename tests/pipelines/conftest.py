"""Tiny random pipelines with an adapter whose output is not zero."""

from pathlib import Path
from typing import Any

import pytest
import torch

from spatialgen.adapter.adapter import AdapterConfig, SpatialAdapter
from spatialgen.pipelines.kolors import KolorsSpatialPipeline
from spatialgen.pipelines.sdxl import StableDiffusionXLSpatialPipeline
from tests.sample.generators import tiny_kolors, tiny_sdxl

CLASSES: dict[str, Any] = {
    "kolors": (KolorsSpatialPipeline, tiny_kolors),
    "sdxl": (StableDiffusionXLSpatialPipeline, tiny_sdxl),
}


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of random checkpoints."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, (_, make) in CLASSES.items()}


def random_adapter(unet: Any, name_width: int) -> SpatialAdapter:
    torch.manual_seed(5)
    config = AdapterConfig.of_unet(
        unet, name_width, width=8, token_width=16, heads=2, frequencies=3
    )
    adapter = SpatialAdapter(config)
    for part in adapter.parts.values():
        torch.nn.init.normal_(part.output.weight, std=0.3)
    return adapter


@pytest.fixture(params=[*CLASSES])
def pipe(request: pytest.FixtureRequest, bases: dict[str, Path]) -> Any:
    """A pipeline of each kind, without an adapter."""
    kind, _ = CLASSES[request.param]
    pipeline = kind.from_pretrained(bases[request.param], dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def adapter(pipe: Any) -> SpatialAdapter:
    """One that fits it."""
    width = pipe.encode_prompt(["a"], device="cpu", num_images_per_prompt=1,
                               do_classifier_free_guidance=False)[0].shape[-1]  # fmt: skip
    return random_adapter(pipe.unet, width)
