"""A pipeline with everything in place, from an adapter's folder alone."""

import json
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from diffusers import DiffusionPipeline

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.errors import InputError
from spatialgen.model_identity import model_identity
from spatialgen.model_loading import choose_device, choose_dtype, find_base
from spatialgen.pipelines.kolors import KolorsSpatialPipeline
from spatialgen.pipelines.sdxl import StableDiffusionXLSpatialPipeline

PIPELINES: dict[str, Any] = {
    "KolorsPipeline": KolorsSpatialPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLSpatialPipeline,
}


def load_pipeline(
    adapter: Path | str,
    *,
    base: Path | str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    planner: Path | str | None = None,
    offload: bool = False,
) -> Any:
    """The pipeline of the base that an adapter names (or of `base`, which has to equal it), with
    the adapter, and with a planner where one is named. `offload`: its parts are on the device while
    they work, one after the other, and on the CPU else. InputError where the base is missing, or
    another one than the adapter was trained on."""
    loaded = SpatialAdapter.from_pretrained(adapter)
    origin = loaded.origin
    named = str(base or find_base(str(origin.get("base")), Path(adapter)))
    identity = model_identity(named, origin.get("revision"), "encode.revision")
    if identity != origin.get("base_identity"):
        raise InputError(
            f"{named} is {identity}, and {adapter} was trained on {origin.get('base_identity')}; "
            "load that base, or train an adapter on this one"
        )
    device = choose_device(device)
    kind = getattr(torch, choose_dtype(dtype, device))
    chosen = pipeline_class(named, origin.get("revision"))
    pipeline = chosen.from_pretrained(
        named, revision=origin.get("revision"), dtype=kind, use_safetensors=True
    )
    try:
        if offload:
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
    except (AssertionError, RuntimeError) as error:
        if should_reduce_batch_size(error):
            raise
        said = " ".join(str(error).split())[:120]
        raise InputError(f"device {device} is not to be had ({said}); take auto, or cpu") from None
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_spatial_adapter(loaded)
    return pipeline if planner is None else pipeline.load_layout_planner(planner)


def pipeline_class(model: str, revision: str | None = None) -> Any:
    """Which of PIPELINES a folder or hub id is for; InputError where for none."""
    if Path(model).is_dir():
        index = Path(model) / "model_index.json"
        name = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    else:
        name = DiffusionPipeline.load_config(model, revision=revision).get("_class_name")
    if name not in PIPELINES:
        raise InputError(f"{model} is a {name}; give one of {', '.join(PIPELINES)}")
    return PIPELINES[name]
