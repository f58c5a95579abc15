"""Writing a small model's folder in the layout of the published repositories."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

if TYPE_CHECKING:
    import torch


def publish_folder(
    folder: Path, model: Any, weights: Mapping[str, "torch.Tensor"], *parts: Any
) -> None:
    """Write fp16 weights, config, tokenizer and the other `parts` (anything with save_pretrained).

    The output layer is the embedding (tied), so it is left out.
    """
    half = {name: value.half() for name, value in weights.items() if name != "lm_head.weight"}
    model.save_pretrained(folder, state_dict=half)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float16"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for each in parts:
        each.save_pretrained(folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = "".join(f"{first} {second}\n" for first, second in content["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    vocab = json.dumps(content["vocab"], ensure_ascii=False)
    (folder / "vocab.json").write_text(vocab, encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)


def save_half(folder: Path, model: Any, weights: Mapping[str, "torch.Tensor"]) -> None:
    """Write config and weights of a part of a diffusion pipeline, the weights in fp16."""
    model.save_config(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)  # where it was loaded from
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    half = {name: value.half().contiguous() for name, value in weights.items()}
    save_file(half, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    for path in folder.iterdir():
        path.chmod(0o644)
