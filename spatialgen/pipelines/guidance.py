"""What changes from step to step while a pipeline paints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.adapter.control import Control

StepEnd = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]


def ends_after(share: float, adapter: SpatialAdapter, callback: StepEnd | None) -> StepEnd:
    """A callback_on_step_end that silences the adapter after this share of a pipeline's steps (of
    schedulers of higher order: of the UNet's calls), and calls `callback`
    (the gated attention of GLIGEN works so: scheduled sampling, arXiv:2301.07093)."""

    def at_end(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step + 1 >= round(share * pipeline.num_timesteps):
            adapter.active = None
        return tensors if callback is None else callback(pipeline, step, timestep, tensors)

    return at_end


@contextmanager
def layout_guidance(
    unet: nn.Module, adapter: SpatialAdapter, withheld: Control, weight: float, *, halves: bool
) -> Iterator[None]:
    """Add `weight` x (prediction with the layout - prediction without) to conditional predictions
    during the block, for one more forward pass per step while the adapter works: classifier-free
    guidance (Ho and Salimans, arXiv:2207.12598) for the layout alone. `halves`: the batch's second
    half is the conditional one, else all of it is."""

    def guide(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> Any:
        if adapter.active is None:
            return output
        told = output[0] if isinstance(output, tuple) else output.sample
        rows = len(told)
        half = rows - len(withheld.tokens) if halves else 0  # 0 where guidance was cut off
        inputs, named = _from(half, rows, inputs), _from(half, rows, named)
        with adapter.using(withheld):
            without = module.forward(*inputs, **{**named, "return_dict": False})[0]
        guided = told[half:] + weight * (told[half:] - without)
        told = torch.cat([told[:half], guided])
        return (told,) if isinstance(output, tuple) else type(output)(sample=told)

    handle = unet.register_forward_hook(guide, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _from(half: int, rows: int, value: Any) -> Any:
    """What belongs to the rows from `half` on of whatever a UNet is given."""
    if isinstance(value, Tensor):
        return value[half:] if value.ndim and len(value) == rows else value
    if isinstance(value, dict):
        return {name: _from(half, rows, each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_from(half, rows, each) for each in value)
    return value
