"""A small convolutional detector: the second judge of generated pictures.

It shares nothing with the annotator but the classes' names: other architecture, other training
seeds. Things are peaks of per-class heat maps ("Objects as Points", arXiv:1904.07850), and a box is
the four distances from its peak to its sides.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from spatialgen.errors import InputError

STRIDE = 8  # pixels per cell of the heat maps


@dataclass(frozen=True)
class Detection:
    """A thing in a picture."""

    name: str
    bbox: list[float]  # [x1, y1, x2, y2] in [0, 1]
    score: float  # in [0, 1]


@dataclass(frozen=True)
class DetectorConfig:
    """What config.json holds."""

    classes: tuple[str, ...]
    side: int = 128  # pictures are scaled to side x side
    widths: tuple[int, ...] = (24, 48, 72, 80)  # channels after each halving of the side
    threshold: float = 0.3  # of a peak's score, to be a thing

    def __post_init__(self) -> None:
        """ValueError for what no detector can be built from."""
        deepest = STRIDE * 2
        if not isinstance(self.side, int) or self.side <= 0 or self.side % deepest:
            raise ValueError(f"side {self.side!r} is no positive multiple of {deepest}")
        if not isinstance(self.threshold, int | float) or not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold!r} is not in [0, 1]")
        if len(self.widths) != 4 or not self.classes:
            raise ValueError(f"widths {self.widths} are not 4, or there are no classes")


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.GroupNorm(8, width), nn.GroupNorm(8, width)])

    def forward(self, states: Tensor) -> Tensor:
        inner = F.silu(self.norms[0](self.first(states)))
        return F.silu(states + self.norms[1](self.second(inner)))


class Detector(nn.Module):
    """Pictures -> heat maps and distances; `detect` for boxes, `features` for KID."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        widths = (3, *config.widths)
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                Block(width) if number else nn.Identity(),
            )
            for number, (before, width) in enumerate(zip(widths, config.widths, strict=False))
        )
        *_, level, deepest = config.widths
        self.lateral = nn.Conv2d(deepest, level, 1)
        self.joined = Block(level)
        self.heat = nn.Conv2d(level, len(config.classes), 1)
        self.sides = nn.Conv2d(level, 4, 1)
        assert self.heat.bias is not None
        nn.init.constant_(self.heat.bias, -4.0)  # things are rare (RetinaNet's prior)

    def trunk(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[n, width, side / 8, side / 8] and the deepest [n, width, side / 16, side / 16] states of
        [n, 3, side, side] pixels in [-1, 1]."""
        states = [pixels]
        for down in self.down:
            states.append(down(states[-1]))
        context = F.interpolate(self.lateral(states[-1]), scale_factor=2)
        return self.joined(states[-2] + context), states[-1]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, classes, h, w], and distances [n, 4, h, w] in cells from a cell's centre to
        left, top, right and bottom."""
        states, _ = self.trunk(pixels)
        return self.heat(states), F.softplus(self.sides(states))

    @torch.inference_mode()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """[n, width] means of the last states before the outputs."""
        states, deepest = self.trunk(self.pixels(images))
        return torch.cat([states.mean((2, 3)), deepest.mean((2, 3))], 1)

    @torch.inference_mode()
    def detect(
        self, images: Sequence[Image.Image], threshold: float | None = None
    ) -> list[list[Detection]]:
        """Things of each picture, best first: peaks of at least `threshold` (the config's)."""
        threshold = self.config.threshold if threshold is None else threshold
        logits, sides = self(self.pixels(images))
        heat = logits.sigmoid()
        peaks = (heat == F.max_pool2d(heat, 3, stride=1, padding=1)) & (heat >= threshold)
        found: list[list[Detection]] = [[] for _ in images]
        for number, label, row, column in peaks.nonzero().tolist():
            box = self._box(sides[number, :, row, column].tolist(), row, column)
            score = float(heat[number, label, row, column])
            found[number].append(Detection(self.config.classes[label], box, score))
        return [sorted(each, key=lambda thing: -thing.score) for each in found]

    def _box(self, sides: list[float], row: int, column: int) -> list[float]:
        cells = self.config.side / STRIDE
        x, y = column + 0.5, row + 0.5
        edges = (x - sides[0], y - sides[1], x + sides[2], y + sides[3])
        return [min(1.0, max(0.0, edge / cells)) for edge in edges]

    def pixels(self, images: Sequence[Image.Image]) -> Tensor:
        """[n, 3, side, side] in [-1, 1], on this model's device."""
        size = (self.config.side, self.config.side)
        arrays = [np.zeros((0, *size, 3), np.uint8)] + [
            np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))[None]
            for image in images
        ]
        return to_pixels(np.concatenate(arrays)).to(self.heat.weight.device)

    def save_pretrained(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """Write config.json and model.safetensors (fp16)."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self.config), ensure_ascii=False, indent=2)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        state = {name: value.half() for name, value in (weights or self.state_dict()).items()}
        save_file(state, folder / "model.safetensors")
        (folder / "model.safetensors").chmod(0o644)

    @classmethod
    def from_pretrained(cls, folder: Path | str, device: str = "cpu") -> "Detector":
        """The detector of a folder, float32; InputError where its files are missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        try:
            fields: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
            for name in ("classes", "widths"):
                fields[name] = tuple(fields[name])
            detector = cls(DetectorConfig(**fields))
            state = load_file(folder / "model.safetensors")
            detector.load_state_dict({name: value.float() for name, value in state.items()})
        except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{folder} holds no detector ({error}); give one's folder") from error
        return detector.to(device).eval()


def to_pixels(arrays: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """[n, 3, h, w] in [-1, 1] of [n, h, w, 3] bytes."""
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def to_bytes(pixels: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """[n, h, w, 3] bytes of [n, 3, h, w] in [-1, 1]; what is beyond is cut."""
    values = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    return np.asarray(values.cpu())
