"""The frozen ends of a Kolors or SDXL pipeline: its autoencoder, and its text encoders."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from spatialgen.encode.states import PromptStates
from spatialgen.errors import InputError, ParamsError, RowsError
from spatialgen.model_loading import choose_device, choose_dtype, local_or_hub

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DiffusionPipeline

PIPELINES = ("KolorsPipeline", "StableDiffusionXLPipeline")

T = TypeVar("T")


def decode_latents(autoencoder: "AutoencoderKL", latents: "Tensor") -> "Tensor":
    """[n, 3, h, w] pixels in about [-1, 1] of latents as `encode_pictures` makes them, in the
    autoencoder's own precision; SDXL's overflows in float16."""
    config = autoencoder.config
    unscaled = latents / config.scaling_factor + (config.get("shift_factor") or 0.0)
    pixels: Tensor = autoencoder.decode(unscaled.to(autoencoder.device, autoencoder.dtype)).sample
    return pixels


@dataclass(frozen=True)
class Generator:
    """A Kolors or SDXL pipeline that is not loaded yet; see `read`."""

    model: str  # a folder, or a hub id
    revision: str | None
    cell: int  # pixels: the side of one cell of the latents
    multiple: int  # pixels: pictures whose sides are multiples of it fit the UNet
    force_upcast: bool  # the autoencoder is to compute in float32

    @classmethod
    def read(cls, model: str, revision: str | None) -> "Generator":
        """Read a pipeline's configs; InputError where it is neither Kolors nor SDXL."""
        model = local_or_hub(model)
        try:
            kind = _read_json(model, revision, "model_index.json")["_class_name"]
            if kind not in PIPELINES:
                raise ValueError(f"its model_index.json says {kind}")
            unet, vae = (
                _read_json(model, revision, f"{part}/config.json") for part in ("unet", "vae")
            )
            cell = 2 ** (len(vae["block_out_channels"]) - 1)
            multiple = cell * 2 ** (len(unet["block_out_channels"]) - 1)
        except Exception as error:  # the hub's client has many kinds
            raise _unusable(model, error) from error
        return cls(model, revision, cell, multiple, bool(vae.get("force_upcast", True)))

    def check_step(self, step: int) -> None:
        """ParamsError where sides that are multiples of `step` do not fit the UNet."""
        if step % self.multiple:
            raise ParamsError(
                f"encode.step = {step} is no multiple of the {self.multiple} pixels that "
                f"{self.model} halves to one cell at its deepest; take a multiple of "
                f"{self.multiple}"
            )

    def load_pictures(self, device: str, dtype: str) -> "PictureEncoder":
        """Load the autoencoder; devices and dtypes as in `CaptionClassifier`."""
        from diffusers import AutoencoderKL

        place = choose_device(device)
        kind = "float32" if self.force_upcast else choose_dtype(dtype, place)

        def load() -> PictureEncoder:
            network = AutoencoderKL.from_pretrained(
                self.model,
                subfolder="vae",
                revision=self.revision,
                dtype=getattr(torch, kind),
                use_safetensors=True,
            )
            return PictureEncoder(network.to(place).eval())

        return _quietly(self.model, load)

    def load_texts(self, device: str, dtype: str) -> "TextEncoder":
        """Load tokenizers and text encoders alone."""
        from diffusers import DiffusionPipeline

        place = choose_device(device)

        def load() -> TextEncoder:
            pipeline = DiffusionPipeline.from_pretrained(
                self.model,
                revision=self.revision,
                dtype=getattr(torch, choose_dtype(dtype, place)),
                use_safetensors=True,
                unet=None,
                vae=None,
            )
            return TextEncoder(pipeline.to(place), place)

        return _quietly(self.model, load)


class PictureEncoder:
    """Pictures -> latents."""

    def __init__(self, autoencoder: "AutoencoderKL") -> None:
        from diffusers.image_processor import VaeImageProcessor

        self.autoencoder: Any = autoencoder
        self.device = str(autoencoder.device)
        self.pixels = VaeImageProcessor(do_resize=False)

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """[n, channels, h, w] float32 latents, as the UNet works on them, of pictures of one size:
        the means of the autoencoder's distributions, shifted and scaled as its config says."""
        config, network = self.autoencoder.config, self.autoencoder
        pixels = self.pixels.preprocess([*pictures])  # [n, 3, h, w] in [-1, 1]
        with torch.inference_mode():
            means = network.encode(pixels.to(network.device, network.dtype)).latent_dist.mean
        shift = getattr(config, "shift_factor", None) or 0.0
        latents: Tensor = (means.float().cpu() - shift) * config.scaling_factor
        return latents


class TextEncoder:
    """Texts -> what the stock pipeline gives its UNet."""

    def __init__(self, pipeline: "DiffusionPipeline", device: str) -> None:
        self.pipeline: Any = pipeline
        self.device = device

    def encode_texts(self, texts: Sequence[str]) -> list[PromptStates]:
        """States of each text; '' is no caption, as the pipeline's unguided half has it. RowsError
        where a text's states would not be restored bit for bit."""
        with torch.inference_mode():
            full, _, pooled, _ = self.pipeline.encode_prompt(
                [*texts],
                device=torch.device(self.device),
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            if self.pipeline.config.force_zeros_for_empty_prompt:
                for place, text in enumerate(texts):
                    if not text:
                        full[place], pooled[place] = 0, 0
        # [n, tokens, width] and [n, pooled_width]
        return [
            _compact(text, states, summary)
            for text, states, summary in zip(texts, full.cpu(), pooled.cpu(), strict=True)
        ]


def _compact(text: str, full: Tensor, pooled: Tensor) -> PromptStates:
    states = PromptStates.compact(full, pooled)
    kept = PromptStates.from_bytes(
        *states.to_bytes(), pads=states.pads, rows=len(states.states), dtype=states.dtype
    )
    if not (same_bits(kept.expand(), full) and same_bits(kept.pooled, pooled)):
        raise RowsError(
            f"the states of {text!r} are not restored bit for bit from {states.pads} pads and "
            f"{len(states.states)} rows of {states.dtype}; take another encode.dtype"
        )
    return kept


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors on the CPU are equal in every bit, NaN and signed zeros included."""
    return one.dtype == other.dtype and torch.equal(
        one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8)
    )


def _read_json(model: str, revision: str | None, name: str) -> dict[str, Any]:
    path = Path(model) / name
    if not Path(model).is_dir():
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(model, name, revision=revision))
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _quietly(model: str, load: Callable[[], T]) -> T:
    """What `load` returns, without the libraries' progress bars and remarks on their own code."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.logging.disable_progress_bar()
        library.logging.set_verbosity_error()
    try:
        return load()
    except Exception as error:  # each of a pipeline's many parts has errors of its own
        raise _unusable(model, error) from error


def _unusable(model: str, error: Exception) -> InputError:
    return InputError(
        f"encode.model = {model} cannot be used ({' '.join(str(error).split())[:300]}); give a "
        "folder or hub id of a Kolors or SDXL pipeline with model_index.json and safetensors"
    )
