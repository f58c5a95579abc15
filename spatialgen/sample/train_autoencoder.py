"""Train the small generator's autoencoder: an AutoencoderKL, 64 px pictures to 16 x 16 x 4 latents.

    python -m spatialgen.sample.train_autoencoder --out DIR

The loss is the pictures' L1 and that of their differences from pixel to pixel, which keeps edges
sharp, with a small KL. The published autoencoder's latents have mean 0 and deviation 1 in every
channel.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from spatialgen.grounding.detector import to_bytes, to_pixels
from spatialgen.project import guard
from spatialgen.sample.generator_data import PIXELS, generator_view, stack_pictures
from spatialgen.sample.model_files import save_half
from spatialgen.sample.training import VALIDATION, Settings, Training, seed_of, train_pictures

CONFIG: dict[str, Any] = {
    "block_out_channels": (16, 32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 8,
    "sample_size": PIXELS,
    "mid_block_add_attention": False,
    "force_upcast": False,  # fp16 holds all its states
}
EDGES = 0.5  # weight of differences from pixel to pixel
KL = 1e-4  # weight per latent
CROPPED = 0.75  # share of the steps, the first, that see crops: more steps for the same work
CROP, CROPS = PIXELS // 2, 2  # side, and number from each picture
DEFAULTS = Settings(steps=3600, seed=2000, batch=4, rate=2e-3)


class AutoencoderTraining(Training):
    """Pictures to latents and back."""

    def __init__(
        self, settings: Settings, device: str = "cpu", validation: int = VALIDATION
    ) -> None:
        torch.manual_seed(settings.seed)
        self.device, self.validation = device, validation
        self.autoencoder = AutoencoderKL(**CONFIG)
        modules: Any = nn.ModuleDict({"autoencoder": self.autoencoder})
        super().__init__(modules.to(device, memory_format=torch.channels_last), settings)

    def losses(self, step: int) -> dict[str, Tensor]:
        """Of `batch` pictures that no other step sees."""
        first = step * self.settings.batch
        pixels = self.pixels("train", first, self.settings.batch)
        torch.manual_seed(seed_of(self.settings.seed, step))
        if step < CROPPED * self.settings.steps:
            pixels = crop(pixels)
        posterior = self.autoencoder.encode(pixels).latent_dist
        error = self.autoencoder.decode(posterior.sample()).sample - pixels
        return {
            "rebuilt": error.abs().mean(),
            "edges": EDGES * (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()),
            "kl": KL * posterior.kl().mean() / posterior.mean[0].numel(),
        }

    def pixels(self, split: Any, first: int, count: int) -> Tensor:
        """[count, 3, PIXELS, PIXELS] in [-1, 1], on the device."""
        indices = range(first, first + count)
        views = [generator_view(split, self.settings.seed, index) for index in indices]
        pixels = to_pixels(stack_pictures(views)).to(self.device)
        return pixels.contiguous(memory_format=torch.channels_last)

    @cached_property
    def held_out(self) -> Tensor:
        """Validation pictures."""
        return self.pixels("validation", 0, self.validation)

    def evaluate(self) -> dict[str, float]:
        """Signal to noise of rebuilt pictures in dB, and the latents' mean and deviation."""
        latents = self.autoencoder.encode(self.held_out).latent_dist.mean
        error = self.autoencoder.decode(latents).sample.clamp(-1, 1) - self.held_out
        return {
            "psnr": float(10 * (4 / error.square().mean((1, 2, 3))).log10().mean()),
            "latent_mean": float(latents.mean((0, 2, 3)).abs().max()),
            "latent_std": float(latents.std()),
        }

    def publish(self, folder: Path) -> None:
        """The averaged autoencoder, and what it makes of validation pictures, beside it."""
        with self.averaged():
            latents = self.autoencoder.encode(self.held_out).latent_dist.mean
            rebuilt = self.autoencoder.decode(latents).sample
        published = AutoencoderKL(**CONFIG, scaling_factor=1.0)
        published.load_state_dict(self.averaged_part("autoencoder"))
        standardise(published, latents.mean((0, 2, 3)).cpu(), latents.std((0, 2, 3)).cpu())
        save_half(folder, published, published.state_dict())
        to_image_rows(self.held_out[:12], rebuilt[:12]).save(folder.with_name("rebuilt.png"))


def crop(pixels: Tensor) -> Tensor:
    """[n x CROPS, 3, CROP, CROP] of pictures, each anywhere."""
    room = pixels.shape[-1] - CROP + 1
    rows = [
        each[:, top : top + CROP, left : left + CROP]
        for each in pixels
        for top, left in torch.randint(room, (CROPS, 2)).tolist()
    ]
    return torch.stack(rows).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def standardise(autoencoder: AutoencoderKL, mean: Tensor, deviation: Tensor) -> None:
    """Give latents of these means and deviations, by channel, means 0 and deviations 1: in the
    last layer of the encoder and the first of the decoder, so that pictures stay as they are."""
    last, first = autoencoder.quant_conv, autoencoder.post_quant_conv
    assert last is not None
    assert first is not None
    channels = len(mean)
    first.bias += (first.weight[:, :, 0, 0] * mean).sum(1)
    first.weight *= deviation.view(1, -1, 1, 1)
    last.weight[:channels] /= deviation.view(-1, 1, 1, 1)
    last.bias[:channels] = (last.bias[:channels] - mean) / deviation
    last.bias[channels:] -= 2 * deviation.log()  # log variances


def to_image_rows(*rows: Tensor) -> Image.Image:
    """A picture of [n, 3, h, w] tensors in [-1, 1], one row each."""
    lines = [torch.cat(tuple(row), 2) for row in rows]
    return Image.fromarray(to_bytes(torch.cat(lines, 1)[None])[0])


def start(settings: Settings, device: str, validation: int, _: Path) -> AutoencoderTraining:
    """A run, wherever its files go."""
    return AutoencoderTraining(settings, device, validation)


if __name__ == "__main__":
    guard(lambda: train_pictures("Train the small autoencoder.", DEFAULTS, start))
