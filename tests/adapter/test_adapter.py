"""The adapter beside a UNet that stays what it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.adapter.control import LayoutBatch
from spatialgen.errors import InputError
from tests.adapter.unets import (
    NAME_WIDTH,
    SIZE,
    inputs,
    layouts,
    run,
    tiny_adapter,
    tiny_unet,
    trained_adapter,
)


def told(adapter: SpatialAdapter, unet: torch.nn.Module, given: LayoutBatch, scale: float = 1.0,
         **options: object) -> Tensor:  # fmt: skip
    with adapter.using(adapter.control(given, SIZE, scale)):
        return run(unet, inputs(len(given)))


def test_a_fresh_adapter_changes_no_bit() -> None:
    unet = tiny_unet()
    before = run(unet, inputs())
    adapter = tiny_adapter(unet).install(unet)
    assert torch.equal(told(adapter, unet, layouts()), before)


def test_scale_zero_no_control_and_removal_give_the_base_bit_for_bit() -> None:
    unet = tiny_unet()
    before = run(unet, inputs())
    adapter = trained_adapter(unet).install(unet)
    assert not torch.equal(told(adapter, unet, layouts()), before), "else the test says nothing"
    assert torch.equal(told(adapter, unet, layouts(), scale=0.0), before)
    assert torch.equal(run(unet, inputs()), before)
    adapter.active = adapter.control(layouts(), SIZE)
    adapter.remove()
    assert torch.equal(run(unet, inputs()), before)


def test_every_attention_layer_takes_part() -> None:
    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    assert len(adapter.layers) == len(unet.attn_processors) == 14
    whole = told(adapter, unet, layouts())
    for name, part in adapter.parts.items():
        weights = part.output.weight.detach().clone()
        part.output.weight.data.zero_()
        assert not torch.equal(told(adapter, unet, layouts()), whole), name
        part.output.weight.data.copy_(weights)


def test_only_output_projections_learn_first_and_everything_from_the_second_step_on() -> None:
    unet = tiny_unet()
    weights = {name: each.clone() for name, each in unet.state_dict().items()}
    adapter = tiny_adapter(unet).install(unet)
    optimiser = torch.optim.AdamW(adapter.parameters(), 1e-2)
    some = layouts()
    one_without = replace(some, valid=some.valid & torch.tensor([[True], [False]]),
                          given=torch.tensor([True, False]))  # fmt: skip
    found = []
    for _ in range(2):
        optimiser.zero_grad()
        told(adapter, unet, one_without).square().mean().backward()
        found.append(
            {n for n, p in adapter.named_parameters() if p.grad is not None and p.grad.any()}
        )
        optimiser.step()
    names = {name for name, _ in adapter.named_parameters()}
    assert found[0] == {name for name in names if ".output." in name}
    assert found[1] == names
    assert all(torch.equal(weights[name], each) for name, each in unet.state_dict().items())


def test_outputs_stay_below_the_hidden_states_however_large_the_weights() -> None:
    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    for part in adapter.parts.values():
        part.output.weight.data.mul_(1000)
    adapter.watch()
    told(adapter, unet, layouts())
    norms = [float(part.output_norm) for part in adapter.parts.values()]  # type: ignore[arg-type]
    assert all(0.9 < norm <= 1 for norm in norms)
    assert adapter.figures()["output_norm"] == pytest.approx(sum(norms) / len(norms))
    part = next(iter(adapter.parts.values()))
    control = adapter.control(layouts(), (4 * part.factor, 6 * part.factor))
    hidden = torch.randn(2, 24, part.query.in_features)
    added = part(hidden, control)
    assert bool((added.norm(dim=-1) <= hidden.norm(dim=-1) * (1 + 1e-5)).all())


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for checkpointing in (False, True):
        unet = tiny_unet()
        adapter = trained_adapter(unet).install(unet)
        if checkpointing:
            unet.enable_gradient_checkpointing()
            unet.train()
        with adapter.using(adapter.control(layouts(), SIZE)):
            run(unet, inputs()).square().mean().backward()
        gradients.append({name: each.grad for name, each in adapter.named_parameters()})
    for name, gradient in gradients[0].items():
        if gradient is not None:
            assert torch.allclose(gradient, gradients[1][name], atol=1e-6), name  # type: ignore[arg-type]


def test_the_way_down_has_no_gradients_where_only_middle_and_upper_blocks_take_part() -> None:
    unet = tiny_unet()
    adapter = trained_adapter(unet, adapter_layers="mid_up").install(unet)
    assert {name.split("_")[0] for name in adapter.layers} == {"mid", "up"}
    seen: list[bool] = []
    for block in unet.down_blocks:
        block.register_forward_hook(lambda _, __, output: seen.append(output[0].requires_grad))
    told(adapter, unet, layouts()).square().mean().backward()
    assert seen == [False] * 3
    gradients = [part.output.weight.grad for part in adapter.parts.values()]
    assert all(each is not None and bool(each.any()) for each in gradients)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_16_bit_base_trains_a_32_bit_adapter(dtype: torch.dtype) -> None:
    unet = tiny_unet().to(dtype)
    adapter = trained_adapter(unet).install(unet)
    given = inputs()
    given = {
        "sample": given["sample"].to(dtype),
        "timestep": given["timestep"],
        "encoder_hidden_states": given["encoder_hidden_states"].to(dtype),
        "added_cond_kwargs": {n: v.to(dtype) for n, v in given["added_cond_kwargs"].items()},
    }
    with torch.autocast("cpu", dtype), adapter.using(adapter.control(layouts(), SIZE)):
        loss = run(unet, given).float().square().mean()
    loss.backward()
    gradients = [p.grad for p in adapter.parameters() if p.grad is not None]
    assert {each.dtype for each in gradients} == {torch.float32}
    assert all(bool(each.isfinite().all()) for each in gradients)


def test_boxes_have_gradients() -> None:
    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    some = layouts()
    boxes = some.boxes.requires_grad_()
    told(adapter, unet, some).square().mean().backward()
    assert boxes.grad is not None
    assert bool(boxes.grad[some.valid].any(-1).all())
    assert not boxes.grad[~some.valid].any()


def test_padding_changes_nothing() -> None:
    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    some = layouts()
    more = torch.ones(2, 1)
    padded = LayoutBatch(
        torch.cat([some.names, more[..., None].expand(-1, -1, NAME_WIDTH)], 1),
        torch.cat([some.boxes, more[..., None].expand(-1, -1, 4)], 1),
        torch.cat([some.valid, torch.zeros(2, 1, dtype=torch.bool)], 1),
        some.given,
    )
    assert torch.allclose(told(adapter, unet, some), told(adapter, unet, padded), atol=1e-5)


def test_what_is_saved_comes_back_and_says_what_it_is(tmp_path: Path) -> None:
    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    before = told(adapter, unet, layouts())
    adapter.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "adapter.safetensors",
        "adapter_config.json",
    ]
    again = SpatialAdapter.from_pretrained(tmp_path)
    assert again.origin == {"base": "a/base"}
    adapter.remove()
    assert torch.equal(told(again.install(unet), unet, layouts()), before)
    assert "14 layers" in repr(again)


def test_another_unet_and_damaged_folders_are_refused(tmp_path: Path) -> None:
    unet = tiny_unet()
    tiny_adapter(unet).save_pretrained(tmp_path)
    adapter = SpatialAdapter.from_pretrained(tmp_path)
    wider = tiny_unet(block_out_channels=(16, 32, 48))
    with pytest.raises(InputError, match=r"width 32, the UNet has 48.*a/base"):
        adapter.install(wider)
    (tmp_path / "adapter.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="holds no adapter"):
        SpatialAdapter.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="holds no adapter"):
        SpatialAdapter.from_pretrained(tmp_path / "nowhere")


def test_lora_keeps_working_beside_it() -> None:
    from peft import LoraConfig

    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    plain = told(adapter, unet, layouts())
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    both = told(adapter, unet, layouts())
    assert not torch.equal(both, plain)
    alone = run(unet, inputs())
    assert not torch.equal(both, alone)
    unet.disable_adapters()
    assert torch.allclose(told(adapter, unet, layouts()), plain, atol=1e-6)


def test_other_processors_keep_working_beside_it() -> None:
    from diffusers.models.attention_processor import AttnProcessor

    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    before = told(adapter, unet, layouts())
    unet.set_attn_processor(AttnProcessor())
    assert torch.allclose(told(adapter, unet, layouts()), before, atol=1e-4)
    assert not torch.allclose(told(adapter, unet, layouts()), run(unet, inputs()), atol=1e-2)


def test_a_compiled_unet_listens_too() -> None:
    unet = tiny_unet()
    adapter = trained_adapter(unet).install(unet)
    with torch.no_grad():
        before, alone = told(adapter, unet, layouts()), run(unet, inputs())
        compiled: Any = torch.compile(unet, backend="eager")
        assert torch.allclose(told(adapter, compiled, layouts()), before, atol=1e-5)
        assert torch.allclose(run(compiled, inputs()), alone, atol=1e-5)


def test_layouts_are_rows_that_can_be_repeated_joined_and_withheld() -> None:
    some = layouts()
    assert some.valid.tolist() == [[True, True], [True, False]]
    twice = some.withheld() + some
    assert len(twice) == 4
    assert twice.given.tolist() == [False, False, True, True]
    assert not twice.valid[:2].any()
    assert torch.equal(some.repeat(2).boxes[1], some.boxes[0])
    assert LayoutBatch.of([[]], [[]], NAME_WIDTH).given.tolist() == [True], "empty is a layout, too"
