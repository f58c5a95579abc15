"""Pictures as latents, with their captions: made once, in parts, as the training comes to them.

A part is a file of PART views of the generator's world. A training begins with a few parts and
takes in one more every so many steps, so that it starts soon and goes on seeing new pictures.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from spatialgen.grounding.detector import to_pixels
from spatialgen.sample.generator_data import generator_view, stack_pictures
from spatialgen.sample.world.view import Split, View

PART = 1024  # views
BATCH = 32


@torch.inference_mode()
def encode_views(autoencoder: AutoencoderKL, views: Sequence[View]) -> Tensor:
    """[n, channels, h, w] latents of about unit deviation, on the CPU."""
    rows = []
    for start in range(0, len(views), BATCH):
        pixels = to_pixels(stack_pictures(views[start : start + BATCH])).to(autoencoder.device)
        rows.append(autoencoder.encode(pixels).latent_dist.mean.cpu())
    latents: Tensor = torch.cat(rows) * autoencoder.config.scaling_factor
    return latents


@dataclass
class LatentParts:
    """The views of a split and seed, by part."""

    folder: Path
    autoencoder: AutoencoderKL
    split: Split
    seed: int
    captions: list[str] = field(default_factory=list)  # of the parts so far
    latents: list[Tensor] = field(default_factory=list)  # [PART, channels, h, w] each, fp16

    def grow(self, parts: int) -> None:
        """Have so many parts, from their files where these are there."""
        for number in range(len(self.latents), parts):
            path = self.folder / f"{self.split}-{self.seed}-{number:03}.safetensors"
            if not path.exists():
                self._make(path, number)
            with safe_open(path, "pt") as file:
                self.latents.append(file.get_tensor("latents"))
                self.captions += json.loads(file.metadata()["captions"])

    def _make(self, path: Path, number: int) -> None:
        indices = range(number * PART, (number + 1) * PART)
        views = [generator_view(self.split, self.seed, index) for index in indices]
        latents = encode_views(self.autoencoder, views).half()
        captions = json.dumps([view.situation.caption for view in views], ensure_ascii=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        save_file({"latents": latents}, part, {"captions": captions})
        os.replace(part, path)  # there as a whole, or not at all

    def rows(self, indices: Sequence[int]) -> Tensor:
        """[n, channels, h, w] latents of these views."""
        return torch.stack([self.latents[i // PART][i % PART].float() for i in indices])
