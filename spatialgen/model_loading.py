"""What loading any transformers model has in common: where to, in what precision, and whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def choose_device(device: str) -> str:
    """`device`, or for auto the first GPU, or the CPU where there is none."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(dtype: str, device: str) -> str:
    """`dtype`, or for auto what `device` computes well in."""
    import torch

    if dtype != "auto":
        return dtype
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return "float32"


def load_network(factory: Any, model: str, revision: str | None, device: str, dtype: str) -> Any:
    """`factory.from_pretrained`, safetensors only, on `device`, in evaluation mode.

    Raises ValueError where the file and the architecture hold different weights: transformers
    would fill those that are missing with random numbers.
    """
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ours is enough
    network, loading = factory.from_pretrained(
        model,
        revision=revision,
        dtype=getattr(torch, choose_dtype(dtype, device)),
        use_safetensors=True,
        output_loading_info=True,
    )
    _check_weights(loading)
    return network.to(device).train(False)


def _check_weights(loading: Mapping[str, Any]) -> None:
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if names := sorted(map(str, loading.get(kind, ()))):
            raise ValueError(f"{kind.replace('_keys', '')} weights: {', '.join(names)[:200]}")


def local_or_hub(model: str) -> str:
    """The folder that `model` names, with ~ in place; otherwise `model`, a hub id."""
    folder = Path(model).expanduser()
    return str(folder) if folder.is_dir() else model


def find_base(base: str, trained: Path) -> str:
    """The folder that a trained model's folder names from its project's root, or the hub id."""
    above = (folder / base for folder in trained.resolve().parents)
    return next((str(folder) for folder in (Path(base), *above) if folder.is_dir()), base)
