"""The adapter beside the true UNets of Kolors and SDXL, by shapes alone."""

from typing import Any

import pytest
from torch import nn

from spatialgen.adapter.adapter import PRESETS, Preset
from tests.benchmarks.adapter_costs import step_operations
from tests.benchmarks.real_configs import NAME_WIDTHS, UNETS, make_adapter, make_unet, size_of

PUBLISHED = {"kolors": 2_579_458_820, "sdxl": 2_567_463_684}  # parameters
CELLS = 8  # of the latents, on each side: the fewest that take no longer than they must
LAYERS = {"all": 140, "mid_up": 92}


@pytest.fixture(scope="module", params=UNETS)
def real(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """A generator's name and its UNet, which stays as it is."""
    return request.param, make_unet(request.param).requires_grad_(False)


def test_it_is_the_published_unet(real: tuple[str, nn.Module]) -> None:
    kind, unet = real
    assert size_of(unet) == PUBLISHED[kind]


@pytest.mark.parametrize("preset", PRESETS)
def test_less_than_a_twentieth_of_the_parameters(
    real: tuple[str, nn.Module], preset: Preset
) -> None:
    kind, unet = real
    share = size_of(make_adapter(unet, NAME_WIDTHS[kind], preset)) / size_of(unet)
    assert 0.01 < share < 0.05


@pytest.mark.parametrize("preset", PRESETS)
def test_as_many_self_as_cross_attention_layers_are_listened_to(
    real: tuple[str, nn.Module], preset: Preset
) -> None:
    kind, unet = real
    adapter = make_adapter(unet, NAME_WIDTHS[kind], preset).install(unet)
    heard = [name for name, each in unet.named_modules() if each._forward_hooks]
    adapter.remove()
    assert len(heard) == LAYERS[preset]
    for kind_of_layer in ("attn1", "attn2"):
        assert sum(name.endswith(kind_of_layer) for name in heard) == LAYERS[preset] // 2
    assert preset == "all" or not any(name.startswith("down_blocks.") for name in heard)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_part_works_and_only_the_adapter_has_gradients(preset: Preset) -> None:
    unet = make_unet("kolors").requires_grad_(False)
    adapter = make_adapter(unet, NAME_WIDTHS["kolors"], preset).install(unet)
    worked: list[nn.Module] = []

    def note(part: nn.Module, *_: Any) -> None:
        worked.append(part)

    for part in adapter.layers.values():
        part.register_forward_hook(note)
    counted = step_operations(unet, adapter, CELLS)
    assert len(worked) == len(set(worked)) == LAYERS[preset]
    assert all(each.grad is not None for each in adapter.parameters())
    assert all(each.grad is None for each in unet.parameters())
    assert (counted["backward_down"] > 0) == (preset == "all"), "mid_up spares the way down"
