"""What Kolors' and SDXL's pipelines gain: layouts, the adapter that follows them, the planner."""

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from spatialgen.adapter.adapter import CONFIG, SpatialAdapter
from spatialgen.adapter.control import LayoutBatch
from spatialgen.encode.states import PromptStates
from spatialgen.errors import InputError
from spatialgen.layouts import Layout, make_layout
from spatialgen.pipelines.guidance import ends_after, layout_guidance
from spatialgen.planner.planner import LayoutPlanner

ADAPTER_FOLDER = "spatial_adapter"
PHRASES_AT_ONCE = 32

LAYOUT_ARGUMENTS = {
    "layout_phrases": None,
    "layout_boxes": None,
    "layout_scale": None,
    "layout_guidance_scale": 0.0,
    "layout_scheduled_sampling_beta": 1.0,
}


class LayoutMixin:
    """Beside a pipeline's own arguments, calls take

    layout_phrases: names of the things of a prompt; of several prompts, a list for each
    layout_boxes: their boxes, xyxy in [0, 1], as many
    layout_scale: how strongly the adapter works, 0 for not at all; default: as set before, 1
    layout_guidance_scale: how far predictions are moved on from those without the layout; above 0
        it takes a third forward pass per step
    layout_scheduled_sampling_beta: share of the steps, from the first, in which the adapter works

    With a planner and without phrases and boxes, the planner makes the layout of each prompt.
    """

    spatial_adapter: SpatialAdapter | None = None
    layout_planner: LayoutPlanner | None = None
    planned: list[Layout] | None = None  # by the last call, one for each prompt
    spatial_adapter_scale: float = 1.0

    def load_spatial_adapter(self, adapter: str | Path | SpatialAdapter) -> Self:
        """Take an adapter, or that of a folder; InputError where it is of another UNet."""
        loaded = (
            adapter
            if isinstance(adapter, SpatialAdapter)
            else SpatialAdapter.from_pretrained(adapter)
        )
        self.unload_spatial_adapter()
        self.spatial_adapter = loaded.install(self.unet)  # type: ignore[attr-defined]
        self.phrase_states: dict[str, Tensor] = {}  # of names met so far, on the CPU
        return self

    def unload_spatial_adapter(self) -> None:
        """Be the plain pipeline again."""
        if self.spatial_adapter is not None:
            self.spatial_adapter.remove()
        self.spatial_adapter = None

    def set_spatial_adapter_scale(self, scale: float) -> None:
        """The layout_scale of calls that name none."""
        self.spatial_adapter_scale = _checked("scale", scale, 0)

    def load_layout_planner(self, planner: str | Path | LayoutPlanner) -> Self:
        """Plan the layouts of prompts that come without one; a planner, or one's folder."""
        self.layout_planner = (
            LayoutPlanner.from_pretrained(planner) if isinstance(planner, str | Path) else planner
        )
        return self

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """The pipeline, for the plain class to load as well, and the adapter beside it."""
        super().save_pretrained(save_directory, **options)  # type: ignore[misc]
        index = Path(save_directory) / "model_index.json"
        about = json.loads(index.read_text(encoding="utf-8"))
        about["_class_name"] = _plain_class(type(self)).__name__
        index.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        if self.spatial_adapter is not None:
            self.spatial_adapter.save_pretrained(Path(save_directory) / ADAPTER_FOLDER)

    @classmethod
    def from_pretrained(cls, model: str | Path, **options: Any) -> Any:
        """The pipeline of a folder or hub id, with the adapter that `save_pretrained` put there."""
        pipeline = super().from_pretrained(model, **options)  # type: ignore[misc]
        beside = Path(model) / ADAPTER_FOLDER
        return pipeline.load_spatial_adapter(beside) if (beside / CONFIG).exists() else pipeline

    def _call(self, plain: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call the pipeline's own __call__, `plain`, the adapter told of the layouts."""
        own = {name: named.pop(name, default) for name, default in LAYOUT_ARGUMENTS.items()}
        bound = inspect.signature(plain).bind(*args, **named)
        bound.apply_defaults()
        arguments = bound.arguments
        beta = _checked(
            "layout_scheduled_sampling_beta", own["layout_scheduled_sampling_beta"], 0, 1
        )
        weight = _checked("layout_guidance_scale", own["layout_guidance_scale"], 0)
        scale = own["layout_scale"]
        scale = self.spatial_adapter_scale if scale is None else _checked("layout_scale", scale, 0)
        silent = scale == 0 or round(beta * _steps(arguments)) == 0
        layouts = self._layouts(
            arguments, own["layout_phrases"], own["layout_boxes"], plans=not silent
        )
        if layouts is None or silent:
            return plain(*bound.args, **bound.kwargs)
        with self._told(layouts, arguments, scale, weight):
            arguments["callback_on_step_end"] = self._callback(arguments, beta)
            return plain(*bound.args, **bound.kwargs)

    def _layouts(
        self, arguments: dict[str, Any], phrases: Any, boxes: Any, *, plans: bool
    ) -> list[Layout] | None:
        """A layout for each prompt, or None where none is wanted."""
        self.planned = None
        prompt = arguments["prompt"]
        single = isinstance(prompt, str)
        given = arguments["prompt_embeds"] if prompt is None else prompt
        count = 1 if single or given is None else len(given)  # without both, the pipeline complains
        if phrases is None and boxes is None:
            planner = self.layout_planner if plans and self.spatial_adapter else None
            if planner is None or prompt is None:
                return None
            self.planned = planner.plan([prompt] if single else list(prompt))
            return self.planned
        if self.spatial_adapter is None:
            raise InputError(
                "layout_phrases and layout_boxes want an adapter; call load_spatial_adapter first"
            )
        if phrases is None or boxes is None:
            raise InputError("layout_phrases and layout_boxes belong together; give both, or none")
        if count == 1 and all(isinstance(each, str) for each in phrases):
            phrases, boxes = [phrases], [boxes]
        return read_layouts(phrases, boxes, count)

    @contextmanager
    def _told(
        self, layouts: list[Layout], arguments: dict[str, Any], scale: float, weight: float
    ) -> Iterator[None]:
        adapter, unet = self.spatial_adapter, self.unet  # type: ignore[attr-defined]
        assert adapter is not None
        device = self._execution_device  # type: ignore[attr-defined]
        adapter.to(device=device)  # its weights stay as they are: hooks cast
        batch = self._batch(layouts, device).repeat(arguments["num_images_per_prompt"] or 1)
        size = self._latent_size(arguments)
        halves = arguments["guidance_scale"] > 1 and unet.config.time_cond_proj_dim is None
        none = batch.withheld()
        control = adapter.control(none + batch if halves else batch, size, scale)
        guided: Any = nullcontext()
        if weight:
            # The pipeline multiplies what is guided by its own scale, but this not.
            share = weight / arguments["guidance_scale"] if halves else weight
            guided = layout_guidance(
                unet, adapter, adapter.control(none, size, scale), share, halves=halves
            )
        with adapter.using(control), guided:
            yield

    def _batch(self, layouts: list[Layout], device: torch.device) -> LayoutBatch:
        states = self._states({thing.name for layout in layouts for thing in layout})
        adapter = self.spatial_adapter
        assert adapter is not None
        return LayoutBatch.of(
            [[states[thing.name] for thing in layout] for layout in layouts],
            [[thing.bbox for thing in layout] for layout in layouts],
            adapter.config.name_width,
        ).to(device)

    def _states(self, names: set[str]) -> dict[str, Tensor]:
        """What the text encoder makes of names, as in training."""
        unknown = sorted(names - self.phrase_states.keys())
        for start in range(0, len(unknown), PHRASES_AT_ONCE):
            part = unknown[start : start + PHRASES_AT_ONCE]
            encoded = self.encode_prompt(  # type: ignore[attr-defined]
                part,
                device=self._execution_device,  # type: ignore[attr-defined]
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            for name, full, pooled in zip(part, encoded[0].cpu(), encoded[2].cpu(), strict=True):
                self.phrase_states[name] = PromptStates.compact(full, pooled).mean
        return self.phrase_states

    def _latent_size(self, arguments: dict[str, Any]) -> tuple[int, int]:
        if arguments["latents"] is not None:
            height, width = arguments["latents"].shape[-2:]
            return int(height), int(width)
        cell: int = self.vae_scale_factor  # type: ignore[attr-defined]
        usual: int = self.default_sample_size * cell  # type: ignore[attr-defined]
        return (arguments["height"] or usual) // cell, (arguments["width"] or usual) // cell

    def _callback(self, arguments: dict[str, Any], beta: float) -> Any:
        theirs = arguments["callback_on_step_end"]
        if hasattr(theirs, "tensor_inputs"):  # what diffusers would have read of its own callbacks
            arguments["callback_on_step_end_tensor_inputs"] = theirs.tensor_inputs
        assert self.spatial_adapter is not None
        return ends_after(beta, self.spatial_adapter, theirs)


def with_layout_arguments(plain: Any) -> inspect.Signature:
    """The signature of a pipeline's __call__ and the arguments of layouts."""
    signature = inspect.signature(plain)
    parameters = [each for each in signature.parameters.values() if each.kind != each.VAR_KEYWORD]
    rest = [each for each in signature.parameters.values() if each.kind == each.VAR_KEYWORD]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in LAYOUT_ARGUMENTS.items()
    ]
    return signature.replace(parameters=[*parameters, *added, *rest])


def read_layouts(phrases: Any, boxes: Any, count: int) -> list[Layout]:
    """The layouts of `count` prompts; InputError where phrases and boxes make none."""
    flat = any(each is None or isinstance(each, str) for each in (*phrases, *boxes))
    if len(phrases) != count or len(boxes) != count or flat:
        raise InputError(
            f"layout_phrases of {len(phrases)} and layout_boxes of {len(boxes)} prompts do not fit "
            f"{count} prompts; give a list of phrases and one of boxes for each, [] for no thing"
        )
    return [_read_layout(*each) for each in zip(phrases, boxes, strict=True)]


def _read_layout(phrases: Any, boxes: Any) -> Layout:
    if isinstance(phrases, str) or len(phrases) != len(boxes):
        raise InputError(
            f"{phrases!r} are not as many phrases as there are boxes, {len(boxes)}; give each "
            "thing a phrase and a box"
        )
    named = [name.strip() if isinstance(name, str) else "" for name in phrases]
    things = [{"name": name, "bbox": bbox} for name, bbox in zip(named, boxes, strict=True)]
    return make_layout(things)


def _steps(arguments: dict[str, Any]) -> int:
    for name in ("timesteps", "sigmas"):
        if arguments.get(name) is not None:
            return len(arguments[name])
    return int(arguments["num_inference_steps"])


def _checked(name: str, value: Any, least: float, most: float = float("inf")) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= most or value == float("inf"):
        upper = "" if most == float("inf") else f" to {most:g}"
        raise InputError(f"{name} = {value!r} is no number from {least:g}{upper}; give one")
    return float(value)


def _plain_class(kind: type) -> type:
    return next(each for each in kind.__mro__ if each.__module__.startswith("diffusers."))
