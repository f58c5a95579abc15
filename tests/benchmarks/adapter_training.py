"""The adapter's training on the lake of this project: what 16 bits and caching do to it.

Errors on the split val after so many steps in fp32 (two seeds), fp16 with a gradient scaler, and
bf16; seconds of a step of the adapter from cached latents and prompts, against one of full
fine-tuning that encodes as it goes; what the loader takes of a step.

    python -m tests.benchmarks.adapter_training [--steps 100]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from spatialgen.adapter.batches import gather
from spatialgen.adapter.rows import AdapterRows, adapter_rows
from spatialgen.adapter.stage import find_training, make_loop
from spatialgen.encode.generator import Generator
from spatialgen.lake.lake import Lake
from spatialgen.params import Params, load_params
from spatialgen.training.loop import Loop
from tests.benchmarks.harness import median, report, seconds

ROUNDS = 5
PRECISIONS = {"fp32": ("fp32", 0), "fp32, seed 1": ("fp32", 1), "fp16": ("fp16", 0),
              "bf16": ("bf16", 0)}  # fmt: skip


def changed(params: Params, **section: Any) -> Params:
    """Params with another section train_adapter, and no process beside this one."""
    compute = params.compute.model_copy(update={"loader_workers": 0, "device": "cpu"})
    train = params.train_adapter.model_copy(update=section)
    return params.model_copy(update={"train_adapter": train, "compute": compute})


def begin(lake: Lake, params: Params) -> tuple[Loop, AdapterRows]:
    """A training that has not begun, and its rows."""
    rows = adapter_rows(lake, params.train_adapter, "train", 0.0)
    validation = adapter_rows(lake, params.train_adapter, "val", 0.0)
    found = find_training(lake, params, rows, validation)
    return make_loop(lake, params, rows, validation, *found), rows


def error_after(lake: Lake, params: Params) -> float:
    """The error on val after the training."""
    loop, _ = begin(lake, params)
    errors: list[float] = []
    loop.task.draw = None  # type: ignore[attr-defined]
    loop.run(lambda figures: errors.append(figures.get("val/error", 0.0)), quiet=True)
    return errors[-1]


def step_times(lake: Lake, params: Params) -> dict[str, float]:
    """Median seconds of: a step of the adapter, one of full fine-tuning, one batch of the loader;
    taken in turns."""
    loop, rows = begin(lake, params)
    task: Any = loop.task
    places = range(params.train_adapter.batch)
    batch = task.collate(rows.read(places), [0] * len(places))
    full = full_step(params, task, batch)
    runs: dict[str, Callable[[], Any]] = {
        "adapter": lambda: task.losses(batch)["noise"].mean().backward(),
        "full": full,
        "loader": lambda: task.collate(rows.read(places), [0] * len(places)),
    }
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(seconds(run))
    return {name: median(each) for name, each in times.items()}


def full_step(params: Params, task: Any, batch: Any) -> Callable[[], None]:
    """Forward and backward of the whole UNet on pictures and captions that are encoded anew."""
    from diffusers import UNet2DConditionModel

    model = Generator.read(params.encode.model, params.encode.revision)
    pictures, texts = model.load_pictures("cpu", "float32"), model.load_texts("cpu", "float32")
    unet = UNet2DConditionModel.from_pretrained(params.encode.model, subfolder="unet",
                                                dtype=torch.float32)  # fmt: skip
    count, resolution = len(batch["latents"]), params.encode.resolution
    shown = [Image.new("RGB", (resolution, resolution), (n, n, n)) for n in range(count)]
    captions = [f"左边有{n}只猫" for n in range(count)]
    steps = task.noise.steps(batch["time"])

    def step() -> None:
        latents = pictures.encode_pictures(shown)
        texts.encode_texts(captions)
        noisy, wanted = task.noise.mix(latents, batch["noise"], steps)
        conditions = {"text_embeds": batch["pooled"], "time_ids": batch["time_ids"]}
        found = unet(noisy, steps, gather(batch), added_cond_kwargs=conditions).sample
        (found - wanted).square().mean().backward()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    shipped = load_params()
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake("lake", store=Path(folder))
        errors = {
            name: error_after(
                lake, changed(shipped, steps=steps, every=steps, precision=kind, seed=seed)
            )
            for name, (kind, seed) in PRECISIONS.items()
        }
        times = step_times(lake, changed(shipped))
    noise = abs(errors["fp32"] - errors["fp32, seed 1"])
    apart = {name: abs(errors[name] - errors["fp32"]) for name in ("fp16", "bf16")}
    figures = {
        "steps": steps,
        "error": {name: round(each, 6) for name, each in errors.items()},
        "apart": {name: round(each, 6) for name, each in apart.items()},
        "noise": round(noise, 6),
        "step_s": {name: round(each, 4) for name, each in times.items()},
        "full_over_adapter": round(times["full"] / times["adapter"], 2),
        "step_over_loader": round(times["adapter"] / times["loader"], 1),
    }
    bars = {
        "fp16 is as near to fp32 as another seed": apart["fp16"] <= noise,
        "the loader takes a fifth of a step at most": times["loader"] <= times["adapter"] / 5,
    }
    report("adapter_training", figures, bars)


if __name__ == "__main__":
    main()
