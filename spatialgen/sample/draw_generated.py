"""Pictures drawn by the small Kolors from captions: the stock pipeline's, at a lower cost.

Prompts go to the UNet without their pads, which changes nothing but rounding.
"""

from collections.abc import Iterator, Sequence

import torch
from diffusers import KolorsPipeline
from PIL import Image

from spatialgen.grounding.detector import to_bytes
from spatialgen.sample.chatglm import encode_prompts
from spatialgen.sample.train_generator import predict
from spatialgen.sample.training import seed_of

STEPS, GUIDANCE = 25, 5.0
BATCH = 32


@torch.inference_mode()
def draw_captions(
    pipeline: KolorsPipeline,
    captions: Sequence[str],
    seed: int = 0,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> Iterator[Image.Image]:
    """A picture of each caption, each from noise of its own: a caption's picture depends on its
    place in the list alone."""
    unet, scheduler = pipeline.unet, pipeline.scheduler
    side, channels = unet.config.sample_size, unet.config.in_channels
    for start in range(0, len(captions), BATCH):
        batch = captions[start : start + BATCH]
        tokens = [pipeline.tokenizer(text)["input_ids"] for text in (*[""] * len(batch), *batch)]
        prompts = encode_prompts(pipeline.text_encoder, tokens)
        scheduler.set_timesteps(steps)
        latents = torch.stack([
            torch.randn(channels, side, side, generator=noise_of(seed, start + row))
            for row in range(len(batch))
        ]).to(unet.device) * scheduler.init_noise_sigma  # fmt: skip
        for time in scheduler.timesteps:
            twice = scheduler.scale_model_input(torch.cat([latents] * 2), time)
            without, told = predict(unet, twice, time, prompts).chunk(2)
            wanted = without + guidance * (told - without)
            latents = scheduler.step(wanted, time, latents).prev_sample
        pixels = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
        yield from map(Image.fromarray, to_bytes(pixels))


def noise_of(seed: int, place: int) -> torch.Generator:
    """The source of a picture's first noise."""
    return torch.Generator().manual_seed(seed_of(seed, place))
