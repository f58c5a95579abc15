"""`SpatialAdapter`: layouts for every attention layer of an SDXL-type UNet that stays as it is."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spatialgen.adapter.attention import GroundedAttention
from spatialgen.adapter.control import Control, LayoutBatch
from spatialgen.adapter.geometry import fourier, make_grid
from spatialgen.errors import InputError

CONFIG, WEIGHTS = "adapter_config.json", "adapter.safetensors"
FORMAT = 1
Preset = Literal["all", "mid_up"]
PRESETS: dict[Preset, tuple[str, ...]] = {
    "all": ("down_blocks.", "mid_block.", "up_blocks."),
    # No gradient passes through the lower half of the UNet, which saves its backward pass.
    "mid_up": ("mid_block.", "up_blocks."),
}


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter is built from. `layers`: width of the hidden states by attention layer."""

    name_width: int  # of the states of things' names
    layers: Mapping[str, int]
    blocks: int  # of the UNet's way down, which says how coarse each layer's grid is
    width: int = 128
    token_width: int = 768
    heads: int = 8
    frequencies: int = 8
    adapter_layers: Preset = "all"

    @classmethod
    def of_unet(cls, unet: Any, name_width: int, **sizes: Any) -> "AdapterConfig":
        """For the attention layers of a UNet2DConditionModel that the preset in `sizes` names."""
        starts = PRESETS[sizes.get("adapter_layers", "all")]
        known = dict(unet.named_modules())
        names = (name.removesuffix(".processor") for name in unet.attn_processors)
        layers = {name: known[name].query_dim for name in names if name.startswith(starts)}
        if not layers:
            raise InputError(
                f"{type(unet).__name__} has no attention layers; take an SDXL-type UNet"
            )
        return cls(name_width, layers, len(unet.config.down_block_types), **sizes)

    def factor(self, layer: str) -> int:
        """By how much a layer's grid is smaller than the latents, on each side."""
        deepest = self.blocks - 1
        found = re.match(r"(down|up)_blocks\.(\d+)\.", layer)
        if not found:
            return int(2**deepest)
        place = int(found[2])
        return int(2 ** (place if found[1] == "down" else deepest - place))


class SpatialAdapter(nn.Module):
    """The parts of all layers, and the tokens of things.

    >>> adapter = SpatialAdapter.from_pretrained("models/adapter")
    >>> adapter.install(unet)
    >>> with adapter.using(adapter.control(layouts, size=(128, 128))):
    ...     unet(...)

    It adds to the outputs of the UNet's attention layers by hooks: their processors, LoRA's and
    IP-Adapter's among them, stay what they are, and no weight of the UNet is touched. Without a
    control, or at scale 0, outputs are those of the UNet alone, bit for bit.
    """

    def __init__(self, config: AdapterConfig, origin: Mapping[str, Any] | None = None) -> None:
        """`origin`: what it was trained on and how (base, tables, fp), kept with it."""
        super().__init__()
        self.config, self.origin = config, dict(origin or {})
        tokens = config.token_width
        self.norm = nn.LayerNorm(config.name_width, elementwise_affine=False)
        self.describe = nn.Sequential(
            nn.Linear(config.name_width + 8 * config.frequencies, 2 * tokens),
            nn.SiLU(),
            nn.Linear(2 * tokens, tokens),
            nn.LayerNorm(tokens),
        )
        # What stands where a layout has no thing, and where no layout is given.
        self.nothing = nn.Parameter(torch.randn(2, tokens) * 0.02)
        sizes = (config.width, tokens, config.heads, config.frequencies)
        self.layers = nn.ModuleDict({
            _key(name): GroundedAttention(hidden, *sizes, config.factor(name))
            for name, hidden in config.layers.items()
        })  # fmt: skip
        self.parts: dict[str, GroundedAttention] = {
            name: self.layers[_key(name)]  # type: ignore[misc]
            for name in config.layers
        }
        self.active: Control | None = None
        self._handles: list[RemovableHandle] = []

    def __repr__(self) -> str:
        trained = sum(each.numel() for each in self.parameters())
        return f"<SpatialAdapter of {len(self.parts)} layers: {trained} parameters>"

    def install(self, unet: nn.Module) -> "SpatialAdapter":
        """Listen to the attention layers of this UNet, beside whatever else works there; InputError
        where they are not those that it was made for."""
        self.remove()
        known = dict(getattr(unet, "_orig_mod", unet).named_modules())  # of one that is compiled
        for name, hidden in self.config.layers.items():
            found = getattr(known.get(name), "query_dim", None)
            if found != hidden:
                raise InputError(
                    f"the adapter wants an attention layer {name} of width {hidden}, the UNet has "
                    f"{found}; load the base that it was trained on, {self.origin.get('base')}"
                )
        for name in self.config.layers:
            hook = _Hook(self, self.parts[name])
            self._handles.append(known[name].register_forward_hook(hook, with_kwargs=True))
        return self

    def remove(self) -> None:
        """Leave the UNet as it was before."""
        while self._handles:
            self._handles.pop().remove()

    def tokens(self, layouts: LayoutBatch) -> Tensor:
        """[n, 1 + o, token_width]: what stands where there is no thing, then the things."""
        kind = self.nothing.dtype
        places = fourier(layouts.boxes.float(), self.config.frequencies).to(kind)
        things = self.describe(torch.cat([self.norm(layouts.names.to(kind)), places], -1))
        none = torch.where(layouts.given[:, None], self.nothing[0], self.nothing[1])
        return torch.cat([none[:, None], things * layouts.valid[..., None]], 1)

    def control(self, layouts: LayoutBatch, size: tuple[int, int], scale: float = 1.0) -> Control:
        """What these layouts tell a forward pass over latents of (height, width)."""
        factors = {part.factor for part in self.parts.values()}
        grids = {
            factor: make_grid(
                layouts.boxes,
                layouts.valid,
                (-(-size[0] // factor), -(-size[1] // factor)),
                self.config.frequencies,
            )
            for factor in sorted(factors)
        }
        return Control(self.tokens(layouts), grids, scale)

    @contextmanager
    def using(self, control: Control | None) -> Iterator[None]:
        """Tell the layers this during the block. A backward pass with gradient checkpointing runs
        forward again and belongs inside."""
        before, self.active = self.active, control
        try:
            yield
        finally:
            self.active = before

    def watch(self, *, on: bool = True) -> None:
        """Keep each layer's output norm from now on, or no more."""
        for part in self.parts.values():
            part.watched = on

    def figures(self) -> dict[str, float]:
        """Means over the layers: how far gates are open, and outputs' norms relative to the hidden
        states' (of the last forward pass, where it was watched)."""
        parts = self.parts.values()
        found = {"gate": torch.stack([part.gate.detach().abs().float() for part in parts]).mean()}
        norms = [part.output_norm for part in parts if part.output_norm is not None]
        if norms:
            found["output_norm"] = torch.stack(norms).mean()
        return {name: float(value) for name, value in found.items()}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write adapter_config.json and adapter.safetensors; both say of what it is."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        about = {"format": FORMAT, **self.origin, "adapter": asdict(self.config)}
        text = json.dumps(about, ensure_ascii=False, indent=2)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
        weights = {
            name: each.detach().cpu().contiguous() for name, each in self.state_dict().items()
        }
        metadata = {"format": "pt", "spatialgen": json.dumps(self.origin, ensure_ascii=False)}
        save_file(weights, folder / WEIGHTS, metadata)
        (folder / WEIGHTS).chmod(0o644)  # safetensors writes files that only their owner reads

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "SpatialAdapter":
        """The adapter that `save_pretrained` wrote, float32; InputError where there is none."""
        folder = Path(folder)
        try:
            about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            config = AdapterConfig(**about.pop("adapter"))
            weights = load_file(folder / WEIGHTS)
            if about.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            adapter = cls(config, about)
            adapter.load_state_dict({name: each.float() for name, each in weights.items()})
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError,
                SafetensorError) as error:  # fmt: skip
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{folder} holds no adapter ({said}); name one's folder") from None
        return adapter.eval()


@dataclass(frozen=True)
class _Hook:
    """Adds a layer's part to its output."""

    adapter: SpatialAdapter = field(repr=False)
    part: GroundedAttention

    def __call__(
        self, _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Tensor
    ) -> Tensor:
        control = self.adapter.active
        if control is None or control.scale == 0:
            return output
        hidden = inputs[0] if inputs else named["hidden_states"]
        if len(hidden) < len(control.tokens):  # a callback has cut guidance off, and its first half
            control = control.last(len(hidden))
        added: Tensor = self.part(hidden, control)
        return output + control.scale * added.to(output.dtype)


def _key(layer: str) -> str:
    return layer.replace(".", "__")  # a module's name holds no dots
