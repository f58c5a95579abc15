"""Train the small picture generator: Kolors' architecture on the sample world, without any layout.

    python -m spatialgen.sample.train_autoencoder --out DIR/vae
    python -m spatialgen.sample.train_generator --out DIR

UNet and text encoder learn together to undo noise in the latents of a trained autoencoder, told by
captions alone: v-prediction (Salimans and Ho, arXiv:2202.00512), weighted by min-SNR (Hang et al.,
arXiv:2303.09556); one caption in ten is empty, for classifier-free guidance (Ho and Salimans,
arXiv:2207.12598). The rate is constant but for its start and its last three tenths.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    KolorsPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn

from spatialgen.errors import InputError
from spatialgen.model_identity import model_identity
from spatialgen.project import guard
from spatialgen.sample.chatglm import (
    WIDTH,
    Prompts,
    encode_prompts,
    make_text_encoder,
    make_tokenizer,
)
from spatialgen.sample.generator_data import PIXELS, characters, generator_view
from spatialgen.sample.generator_latents import PART, LatentParts, encode_views
from spatialgen.sample.model_files import save_half
from spatialgen.sample.training import VALIDATION, Settings, Training, seed_of, train_pictures

LATENTS, CHANNELS = 16, 4  # side and channels
DOWN = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
UP = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
TIME_WIDTH = 16  # of each of the six sizes and crops
UNET: dict[str, Any] = {
    "sample_size": LATENTS,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "block_out_channels": (64, 96, 128),
    "down_block_types": DOWN,
    "up_block_types": UP,
    "layers_per_block": 1,
    "transformer_layers_per_block": 1,
    "attention_head_dim": (2, 3, 4),  # numbers of heads, in spite of its name
    "norm_num_groups": 16,
    "use_linear_projection": True,
    "cross_attention_dim": WIDTH,
    "encoder_hid_dim": WIDTH,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_WIDTH,
    "projection_class_embeddings_input_dim": WIDTH + 6 * TIME_WIDTH,
}
# Kolors' but for the prediction and the spacing: pictures this small need to start at the end of
# the noise (Lin et al., arXiv:2305.08891), where a prediction of the noise itself says nothing.
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1100,
    "beta_start": 0.00085,
    "beta_end": 0.014,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
SIZES = (PIXELS, PIXELS, 0, 0, PIXELS, PIXELS)  # what KolorsPipeline tells: original, crop, target
EMPTY_SHARE = 0.1
SNR_LIMIT = 5.0
FIRST_PARTS, STEPS_PER_PART, MOST_PARTS = 4, 300, 64
DECAY = 0.3  # share of the steps in which the rate falls
DEFAULTS = Settings(steps=10_000, seed=3000, batch=16, warmup=0.01, average=0.999)


class GeneratorTraining(Training):
    """Noise to latents, as captions say. `work` holds the latents made so far."""

    def __init__(
        self,
        settings: Settings,
        device: str = "cpu",
        validation: int = VALIDATION,
        *,
        autoencoder: Path,
        work: Path,
    ) -> None:
        if validation < 3:
            raise InputError(f"--validation {validation} leaves a part without pictures; give 3")
        torch.manual_seed(settings.seed)
        self.device, self.validation = device, validation
        identity = model_identity(str(autoencoder), None, "autoencoder")
        self.autoencoder = AutoencoderKL.from_pretrained(autoencoder).to(device).eval()
        self.tokenizer = make_tokenizer(characters(), work / "tokenizer.model")
        self.text_encoder = make_text_encoder(self.tokenizer)
        self.unet = UNet2DConditionModel(**UNET)
        self.scheduler = EulerDiscreteScheduler(**SCHEDULER)
        self.signal = self.scheduler.alphas_cumprod.to(device)
        folder = work / ("latents-" + identity.removeprefix("folder:"))
        self.parts = LatentParts(folder, self.autoencoder, "train", settings.seed)
        self.tokens: list[list[int]] = []  # of the parts' captions
        modules = nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder})
        super().__init__(modules.to(device), settings, identity)

    def rate(self) -> float:
        """The learning rate of the present step: a linear warmup, constant, then linear to zero."""
        steps = self.settings.steps
        warm = min(1.0, (self.step + 1) / max(1, self.settings.warmup * steps))
        return self.settings.rate * min(warm, (steps - self.step) / (DECAY * steps))

    def losses(self, step: int) -> dict[str, Tensor]:
        """Of views drawn from all parts so far."""
        parts = min(MOST_PARTS, FIRST_PARTS + step // STEPS_PER_PART)
        self.parts.grow(parts)
        self.tokens += self.tokenise(self.parts.captions[len(self.tokens) :])
        rng = torch.Generator().manual_seed(seed_of(self.settings.seed, step))
        count = self.settings.batch
        rows = torch.randint(parts * PART, (count,), generator=rng).tolist()
        empty = torch.rand(count, generator=rng) < EMPTY_SHARE
        (nothing,) = self.tokenise([""])
        tokens = [
            nothing if off else self.tokens[row] for row, off in zip(rows, empty, strict=True)
        ]
        # One timestep from each part of the range, which leaves the mean loss less to chance.
        times = (torch.arange(count) + torch.rand(count, generator=rng)) / count
        error, weight = self.errors(self.parts.rows(rows), tokens, times, rng)
        return {"noise": (weight * error).mean()}

    def tokenise(self, captions: list[str]) -> list[list[int]]:
        """Tokens of each caption, without pads."""
        return [self.tokenizer(caption)["input_ids"] for caption in captions]

    def errors(
        self, latents: Tensor, tokens: list[list[int]], times: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """[n] squared errors of the predicted v at `times` in [0, 1), and the weights of each."""
        steps = (times * len(self.signal)).long().to(self.device)
        noise = torch.randn(latents.shape, generator=rng).to(self.device)
        latents = latents.to(self.device)
        signal = self.signal[steps].view(-1, 1, 1, 1)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        wanted = signal.sqrt() * noise - (1 - signal).sqrt() * latents
        prompts = encode_prompts(self.text_encoder, tokens)
        predicted = predict(self.unet, noisy, steps, prompts)
        ratio = (signal / (1 - signal)).flatten()
        weight = ratio.clamp(max=SNR_LIMIT) / (ratio + 1)
        return (predicted - wanted).square().mean((1, 2, 3)), weight

    @cached_property
    def held_out(self) -> tuple[Tensor, list[list[int]]]:
        """Latents and tokens of validation views."""
        indices = range(self.validation)
        views = [generator_view("validation", self.settings.seed, index) for index in indices]
        tokens = self.tokenise([view.situation.caption for view in views])
        return encode_views(self.autoencoder, views), tokens

    def evaluate(self) -> dict[str, float]:
        """Errors on validation views, always with the same noise, by how much noise there is."""
        latents, tokens = self.held_out
        times = (torch.arange(len(tokens)) + 0.5) / len(tokens)
        error, _ = self.errors(latents, tokens, times, torch.Generator().manual_seed(0))
        names = ("error_little_noise", "error_some_noise", "error_much_noise")
        parts = zip(names, error.tensor_split(3), strict=True)
        return {name: float(part.mean()) for name, part in parts}

    def publish(self, folder: Path) -> None:
        """A folder for KolorsPipeline.from_pretrained, the averaged weights in fp16."""
        pipeline = KolorsPipeline(
            vae=self.autoencoder,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
        )
        pipeline.save_config(folder)
        self.scheduler.save_pretrained(folder / "scheduler")
        self.tokenizer.save_pretrained(folder / "tokenizer")
        save_half(folder / "vae", self.autoencoder, self.autoencoder.state_dict())
        save_half(folder / "unet", self.unet, self.averaged_part("unet"))
        half = {name: each.half() for name, each in self.averaged_part("text_encoder").items()}
        self.text_encoder.save_pretrained(folder / "text_encoder", state_dict=half)
        for path in folder.rglob("*.*"):
            path.chmod(0o644)


def predict(unet: UNet2DConditionModel, noisy: Tensor, steps: Tensor, prompts: Prompts) -> Tensor:
    """What the UNet makes of noisy latents [n, channels, h, w] of pictures of PIXELS x PIXELS at
    timesteps [n], or one for all; ValueError where they are not float32."""
    if noisy.dtype != torch.float32:
        raise ValueError(f"latents are {noisy.dtype}, too coarse for the mask; give torch.float32")
    sizes = torch.tensor([SIZES], dtype=noisy.dtype, device=noisy.device).expand(len(noisy), -1)
    predicted: Tensor = unet(
        noisy,
        steps,
        encoder_hidden_states=prompts.states,
        encoder_attention_mask=prompts.mask,
        added_cond_kwargs={"text_embeds": prompts.pooled, "time_ids": sizes},
    ).sample
    return predicted


def start(settings: Settings, device: str, validation: int, out: Path) -> GeneratorTraining:
    """A run in `out`, on the autoencoder trained there; InputError where there is none yet."""
    autoencoder = out / "vae" / "model"
    if not (autoencoder / "config.json").exists():
        raise InputError(
            f"{autoencoder} holds no autoencoder; run train_autoencoder with --out {out / 'vae'}"
        )
    return GeneratorTraining(settings, device, validation, autoencoder=autoencoder, work=out)


if __name__ == "__main__":
    guard(lambda: train_pictures("Train the small picture generator.", DEFAULTS, start))
