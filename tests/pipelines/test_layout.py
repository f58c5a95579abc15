"""Pipelines that are told where things are."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.errors import InputError
from spatialgen.layouts import Placed
from spatialgen.pipelines.layout import LAYOUT_ARGUMENTS, _plain_class

BOXES = [[0.1, 0.1, 0.5, 0.6], [0.5, 0.3, 1.0, 0.9]]
THINGS = {"layout_phrases": ["熊猫", "苹果"], "layout_boxes": BOXES}


def paint(pipe: Any, prompt: Any = "熊猫和苹果", **options: Any) -> torch.Tensor:
    """Latents of pictures, from the same noise."""
    count = 1 if isinstance(prompt, str) else len(prompt)
    count *= options.get("num_images_per_prompt", 1)
    noise = [torch.Generator().manual_seed(n) for n in range(count)]
    given = {"num_inference_steps": 3, "guidance_scale": 4.0, "output_type": "latent",
             "height": 64, "width": 64, "generator": noise, **options}  # fmt: skip
    painted: torch.Tensor = pipe(prompt, **given).images
    return painted


def plain(pipe: Any) -> Any:
    stock = _plain_class(type(pipe))(**pipe.components)
    stock.set_progress_bar_config(disable=True)
    return stock


def test_every_argument_of_the_plain_pipeline_is_there() -> None:
    from spatialgen.pipelines.kolors import KolorsSpatialPipeline
    from spatialgen.pipelines.sdxl import StableDiffusionXLSpatialPipeline

    for kind in (KolorsSpatialPipeline, StableDiffusionXLSpatialPipeline):
        theirs = set(inspect.signature(_plain_class(kind).__call__).parameters)
        ours = set(inspect.signature(kind.__call__).parameters)
        assert ours - theirs == set(LAYOUT_ARGUMENTS)
        assert theirs <= ours


def test_without_a_layout_it_is_the_plain_pipeline(pipe: Any, adapter: SpatialAdapter) -> None:
    before = paint(plain(pipe))
    assert torch.equal(paint(pipe), before)
    pipe.load_spatial_adapter(adapter)
    assert torch.equal(paint(pipe), before)
    told = paint(pipe, **THINGS)
    assert not torch.allclose(told, before, atol=1e-2)
    assert torch.equal(paint(pipe, **THINGS, layout_scale=0.0), before)
    assert torch.equal(paint(pipe, **THINGS, layout_scheduled_sampling_beta=0.0), before)
    pipe.set_spatial_adapter_scale(0.0)
    assert torch.equal(paint(pipe, **THINGS), before)
    assert torch.equal(paint(pipe, **THINGS, layout_scale=1.0), told)
    pipe.unload_spatial_adapter()
    assert torch.equal(paint(pipe), before)


def test_each_prompt_has_its_layout_and_each_of_its_pictures(
    pipe: Any, adapter: SpatialAdapter
) -> None:
    pipe.load_spatial_adapter(adapter)
    prompts = ["熊猫和苹果", "苹果"]
    several = paint(
        pipe, prompts, layout_phrases=[["熊猫", "苹果"], ["苹果"]], layout_boxes=[BOXES, BOXES[:1]]
    )
    noise = torch.Generator().manual_seed(1)
    alone = paint(pipe, "苹果", layout_phrases=["苹果"], layout_boxes=BOXES[:1], generator=[noise])
    assert torch.allclose(several[1:], alone, atol=1e-4)
    twice = paint(pipe, **THINGS, num_images_per_prompt=2)
    assert torch.allclose(twice[:1], several[:1], atol=1e-4)
    empty = paint(pipe, layout_phrases=[], layout_boxes=[])
    assert not torch.allclose(empty, paint(pipe), atol=1e-3), "an empty layout is a layout"


def test_the_adapter_works_in_the_first_steps_alone(pipe: Any, adapter: SpatialAdapter) -> None:
    pipe.load_spatial_adapter(adapter)
    states: list[bool] = []

    def watch(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        states.append(adapter.active is not None)
        return tensors

    paint(pipe, **THINGS, num_inference_steps=4, layout_scheduled_sampling_beta=0.5,
          callback_on_step_end=watch)  # fmt: skip
    assert states == [True, False, False, False], "seen after each step"
    assert adapter.active is None


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_layout_guidance_moves_on_from_what_is_seen_without_the_layout(
    pipe: Any, adapter: SpatialAdapter, guidance: float
) -> None:
    pipe.load_spatial_adapter(adapter)
    found = [
        paint(pipe, **THINGS, num_inference_steps=1, guidance_scale=guidance,
              layout_guidance_scale=weight)
        for weight in (0.0, 1.0, 3.0)
    ]  # fmt: skip
    assert not torch.allclose(found[0], found[1], atol=1e-3)
    # One Euler step is linear in the prediction, so the weight is, too.
    assert torch.allclose(found[2] - found[0], 3 * (found[1] - found[0]), rtol=1e-3, atol=1e-2)


def test_a_planner_makes_layouts_where_none_is_given(pipe: Any, adapter: SpatialAdapter) -> None:
    class Planner:
        def plan(self, captions: list[str]) -> list[Any]:
            return [(Placed(each, (0.1, 0.1, 0.5, 0.6)),) for each in captions]

    pipe.layout_planner = Planner()
    before = paint(pipe)
    assert pipe.planned is None, "there is no adapter to follow it"
    pipe.load_spatial_adapter(adapter)
    planned = paint(pipe, ["苹果", "熊猫"])
    found: Any = pipe.planned
    assert [layout[0].name for layout in found] == ["苹果", "熊猫"]
    boxes = [[[0.1, 0.1, 0.5, 0.6]]] * 2
    given = paint(pipe, ["苹果", "熊猫"], layout_phrases=[["苹果"], ["熊猫"]], layout_boxes=boxes)
    assert torch.equal(planned, given)
    assert not torch.equal(paint(pipe), before)


def test_it_is_saved_with_its_adapter_for_itself_and_for_the_plain_class(
    pipe: Any, adapter: SpatialAdapter, tmp_path: Path
) -> None:
    told = paint(pipe.load_spatial_adapter(adapter), **THINGS)
    pipe.save_pretrained(tmp_path)
    again = type(pipe).from_pretrained(tmp_path, dtype=torch.float32)
    again.set_progress_bar_config(disable=True)
    assert torch.equal(paint(again, **THINGS), told)
    stock = DiffusionPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    assert type(stock) is _plain_class(type(pipe))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout_phrases": ["熊猫"]}, "belong together"),
        ({"layout_phrases": ["熊猫"], "layout_boxes": BOXES}, "as many phrases"),
        (
            {"layout_phrases": [["熊猫"]] * 2, "layout_boxes": [BOXES[:1]] * 2},
            "do not fit 1 prompts",
        ),
        ({"layout_phrases": ["熊猫"], "layout_boxes": [[0.5, 0.1, 0.2, 0.9]]}, "is no box"),
        ({"layout_phrases": ["熊猫"], "layout_boxes": [[0, 0, 512, 512]]}, "is no box"),
        ({"layout_phrases": ["熊猫"], "layout_boxes": [[0.1, 0.2]]}, r"is no \[x1"),
        ({"layout_phrases": [" "], "layout_boxes": BOXES[:1]}, "and a name"),
        ({"layout_scheduled_sampling_beta": 1.5}, "from 0 to 1"),
        ({"layout_guidance_scale": -1}, "from 0;"),
        ({"layout_scale": float("nan")}, "from 0;"),
    ],
)
def test_what_is_no_layout_is_refused(
    pipe: Any, adapter: SpatialAdapter, options: dict[str, Any], message: str
) -> None:
    pipe.load_spatial_adapter(adapter)
    with pytest.raises(InputError, match=message):
        pipe("熊猫", **options)


def test_boxes_want_an_adapter(pipe: Any) -> None:
    with pytest.raises(InputError, match="call load_spatial_adapter first"):
        pipe("熊猫", **THINGS)
