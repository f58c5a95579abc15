"""What the adapter costs beside the true Kolors and SDXL: parameters, operations, memory.

All of it is counted on the meta device, which computes shapes alone, so every run gives the same.
Operations are floating-point operations of matrix products and convolutions, a multiplication and
an addition each, of one picture; attention is fused (it keeps no matrix and computes it again on
the way back). Memory is that of a training step of one picture of 1024 pixels, without gradient
checkpointing: weights and what belongs to them, and what a forward pass keeps for its backward
pass; workspaces, and the encoders of a training that caches nothing, come on top.

python -m tests.benchmarks.adapter_costs
"""

from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from spatialgen.adapter.adapter import PRESETS, Preset, SpatialAdapter
from spatialgen.pipelines.guidance import layout_guidance
from tests.benchmarks.harness import report
from tests.benchmarks.real_configs import (
    NAME_WIDTHS,
    THINGS,
    TOKENS,
    UNETS,
    Autocast,
    FusedAttention,
    Saved,
    kolors_inputs,
    make_adapter,
    make_autoencoder,
    make_chatglm,
    make_layouts,
    make_unet,
    operations,
    size_of,
)

PIXELS, CELL = (512, 1024), 8
NAME_TOKENS = 8  # assumed of a name that is not filled up
TRAINED = 16  # bytes of a weight in float32, its gradient and two moments of Adam
# The least that full fine-tuning with its encoders is to cost, in trainings of a cached adapter.
BARS: dict[tuple[Preset, int], float] = {
    ("all", 512): 2.7, ("all", 1024): 1.9, ("mid_up", 512): 3.1, ("mid_up", 1024): 2.3,
}  # fmt: skip


def forward(unet: nn.Module, adapter: SpatialAdapter | None, inputs: dict[str, Any]) -> Tensor:
    """The noise that the UNet predicts, its layers told of a layout where there is an adapter."""
    if adapter:
        rows, _, height, width = inputs["sample"].shape
        adapter.active = adapter.control(make_layouts(rows), (height, width))
    predicted: Tensor = unet(**inputs).sample
    return predicted


def step_operations(unet: nn.Module, adapter: SpatialAdapter | None, cells: int) -> dict[str, int]:
    """Of a training step: forward, backward, and those of the way down that are backward."""
    inputs = kolors_inputs(1, cells)
    with FusedAttention(), FlopCounterMode(display=False) as counter:
        predicted = forward(unet, adapter, inputs)
        ahead, down = counter.get_total_flops(), _down(counter)
        predicted.sum().backward()
    both = counter.get_total_flops()
    return {"forward": ahead, "backward": both - ahead, "both": both,
            "backward_down": _down(counter) - down}  # fmt: skip


def _down(counter: FlopCounterMode) -> int:
    """Operations so far of the UNet's way down."""
    counts = counter.get_flop_counts()
    blocks = [name for name in counts if name.rpartition(".")[0].endswith("down_blocks")]
    return sum(sum(counts[name].values()) for name in blocks)


def parameters() -> dict[str, Any]:
    """Adapters of both UNets: how large, and the attention layers that they add to."""
    found: dict[str, Any] = {}
    for kind in UNETS:
        unet = make_unet(kind)
        found[kind] = {"unet": size_of(unet)}
        for preset in PRESETS:
            adapter = make_adapter(unet, NAME_WIDTHS[kind], preset).install(unet)
            layers = [n for n, each in unet.named_modules() if each._forward_hooks]
            found[kind][preset] = {
                "parameters": size_of(adapter),
                "percent": 100 * size_of(adapter) / size_of(unet),
                "self_layers": sum(name.endswith("attn1") for name in layers),
                "cross_layers": sum(name.endswith("attn2") for name in layers),
            }
            adapter.remove()
    return found


def trainings() -> dict[int, dict[str, dict[str, int]]]:
    """Operations of training steps by pixels, then by what is trained."""
    found: dict[int, dict[str, dict[str, int]]] = {pixels: {} for pixels in PIXELS}
    unet = make_unet("kolors")
    for pixels in PIXELS:
        found[pixels]["full"] = step_operations(unet, None, pixels // CELL)
    unet.zero_grad()
    unet.requires_grad_(False)
    for preset in PRESETS:
        adapter = make_adapter(unet, NAME_WIDTHS["kolors"], preset).install(unet)
        for pixels in PIXELS:
            found[pixels][preset] = step_operations(unet, adapter, pixels // CELL)
        assert all(each.grad is not None for each in adapter.parameters())
        assert all(each.grad is None for each in unet.parameters())
        adapter.remove()
    return found


def encoders() -> dict[str, int]:
    """Operations of what is cached: latents of a picture, states of a caption and of names, which
    are filled up like captions as the pipeline does it, or assumed to be of a few tokens."""
    autoencoder, chatglm = make_autoencoder(), make_chatglm()

    def text(rows: int, tokens: int) -> int:
        ids = torch.empty(rows, tokens, dtype=torch.long, device="meta")
        # A mask alters no count, but its values, of which there are none, would be read.
        return operations(lambda: chatglm(ids, position_ids=ids))

    def latents(pixels: int) -> int:
        picture = torch.empty(1, 3, pixels, pixels, device="meta")
        return operations(lambda: autoencoder.encode(picture))

    sizes = {f"latents_{pixels}": latents(pixels) for pixels in PIXELS}
    return {**sizes, "caption": text(1, TOKENS), "names": text(THINGS, TOKENS),
            "names_unfilled": text(THINGS, NAME_TOKENS)}  # fmt: skip


def ratios(
    steps: dict[str, dict[str, int]], encoded: dict[str, int], pixels: int
) -> dict[str, Any]:
    """How many trainings of the one are one of the other. Full fine-tuning needs no names."""
    once = encoded[f"latents_{pixels}"] + encoded["caption"]
    full = steps["full"]["both"]
    found: dict[str, Any] = {"full_cached": (full + once) / full}
    for preset in PRESETS:
        own = steps[preset]["both"]
        found[preset] = {
            "full_over_adapter_cached": (full + once) / own,
            "full_cached_over_adapter_cached": full / own,
            "adapter_over_adapter_cached_without_names": (own + once) / own,
            "adapter_over_adapter_cached": (own + once + encoded["names_unfilled"]) / own,
            "adapter_over_adapter_cached_names_filled_up": (own + once + encoded["names"]) / own,
        }
    return found


def painting(pixels: int) -> dict[str, float]:
    """What painting costs more: percent of a forward pass, of what is computed once for a picture
    (tokens and grids), and how much more a step with both guidances is than with the text's."""
    unet, cells = make_unet("kolors"), pixels // CELL
    adapter = make_adapter(unet, NAME_WIDTHS["kolors"], "all").install(unet)
    one, two = kolors_inputs(1, cells), kolors_inputs(2, cells)
    size = (cells, cells)

    def cost(inputs: dict[str, Any], rows: int | None) -> int:
        with adapter.using(adapter.control(make_layouts(rows), size) if rows else None):
            return operations(lambda: unet(**inputs))

    plain, text = cost(one, None), cost(two, 2)
    once = operations(lambda: adapter.control(make_layouts(1), size))
    withheld = adapter.control(make_layouts(1).withheld(), size)
    with layout_guidance(unet, adapter, withheld, 1.0, halves=True):
        guided = cost(two, 2)
    return {
        "forward_tflop": plain / 1e12,
        "adapter_percent": 100 * (cost(one, 1) / plain - 1),
        "once_percent": 100 * once / plain,
        "layout_guidance": guided / text,
    }


def memory(preset: Preset | None) -> dict[str, float]:
    """GB of a training step at 1024 pixels: of full fine-tuning, or of an adapter."""
    unet = make_unet("kolors")
    adapter, kind, frozen = None, torch.float32, 0
    if preset:
        kind, frozen = torch.float16, 2 * size_of(unet)
        unet.to(kind).requires_grad_(False)
        adapter = make_adapter(unet, NAME_WIDTHS["kolors"], preset).install(unet)
    trained: nn.Module = adapter or unet
    saved = Saved.beside(unet, trained)
    with FusedAttention(), Autocast() as cast, saved_tensors_hooks(saved.keep, lambda each: each):
        predicted = forward(unet, adapter, kolors_inputs(1, PIXELS[-1] // CELL, kind))
    assert predicted.requires_grad
    sizes = {
        "frozen": frozen,
        "trained": TRAINED * size_of(trained),
        "casts": sum(each.untyped_storage().nbytes() for each in cast.casts.values()),
        "activations": saved.size(without=cast.casts),
    }
    found = {name: size / 1e9 for name, size in sizes.items()}
    return {**found, "all": sum(found.values())}


def rounded(figures: Any) -> Any:
    """To three places, at any depth."""
    if isinstance(figures, dict):
        return {name: rounded(each) for name, each in figures.items()}
    return round(figures, 3) if isinstance(figures, float) else figures


def tera(figures: Any) -> Any:
    """Operations in 10^12, at any depth."""
    if isinstance(figures, dict):
        return {name: tera(each) for name, each in figures.items()}
    return figures / 1e12


def main() -> None:
    for library in (diffusers, transformers):
        library.logging.set_verbosity_error()  # they remark on their own code
    sizes, steps, encoded = parameters(), trainings(), encoders()
    compared = {pixels: ratios(steps[pixels], encoded, pixels) for pixels in PIXELS}
    painted = {pixels: painting(pixels) for pixels in PIXELS}
    kinds: dict[str, Preset | None] = {"full": None, **{each: each for each in PRESETS}}
    held = {name: memory(preset) for name, preset in kinds.items()}
    shares = {preset: held[preset]["all"] / held["full"]["all"] for preset in PRESETS}
    figures = {"parameters": sizes, "step_tflop": tera(steps), "encoders_tflop": tera(encoded),
               "ratios": compared, "painting": painted, "step_gb": held,
               "memory_share": shares}  # fmt: skip
    bars = {
        f"{preset} at {pixels}: full fine-tuning >= {bar}x": (
            compared[pixels][preset]["full_over_adapter_cached"] >= bar
        )
        for (preset, pixels), bar in BARS.items()
    }
    bars |= {f"{kind} {preset}: below 5 % of the parameters": sizes[kind][preset]["percent"] < 5
             for kind in UNETS for preset in PRESETS}  # fmt: skip
    bars |= {f"{kind}: all 140 layers": sizes[kind]["all"]["self_layers"] == 70
             and sizes[kind]["all"]["cross_layers"] == 70 for kind in UNETS}  # fmt: skip
    bars |= {f"painting at {pixels}: <= 5 % more": painted[pixels]["adapter_percent"] <= 5
             for pixels in PIXELS}  # fmt: skip
    bars |= {f"{preset}: <= 40 % of the memory": share <= 0.4 for preset, share in shares.items()}
    bars["mid_up: nothing backward on the way down"] = not any(
        steps[pixels]["mid_up"]["backward_down"] for pixels in PIXELS
    )
    report("adapter_costs", rounded(figures), bars)


if __name__ == "__main__":
    main()
