"""`spatialgen eval export`: pictures for the evaluators of public benchmarks."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spatialgen.suites.catalogue import SUITES

if TYPE_CHECKING:
    from PIL import Image

    from spatialgen.suites.suite import Prompt

SuiteName = StrEnum("SuiteName", {name: name for name in SUITES})  # type: ignore[misc]


def export(
    suite: Annotated[SuiteName, typer.Option(help="whose folder it is to be")],
    prompts: Annotated[Path, typer.Argument(help="the benchmark's own file of prompts")],
    out: Annotated[Path, typer.Argument(help="the folder to write, or to go on with")],
    adapter: Annotated[Path | None, typer.Option(help="its folder; models/adapter")] = None,
    planner: Annotated[
        Path | None, typer.Option(help="its folder; models/planner: of prompts without boxes")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="the adapter's base, where it is elsewhere than it was")
    ] = None,
    translations: Annotated[
        Path | None, typer.Option(help=".tsv or .jsonl: what is painted of each prompt instead")
    ] = None,
    prompts_only: Annotated[
        bool, typer.Option("--prompts-only", help="all but the pictures")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="the first so many prompts")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="pictures of each prompt; the suite's own number")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="of the pictures")] = 0,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="of denoising")] = 25,
    guidance: Annotated[float, typer.Option(min=0, help="guidance_scale")] = 5.0,
    layout_guidance: Annotated[float, typer.Option(min=0, help="layout_guidance_scale")] = 0.0,
    scale: Annotated[float, typer.Option(min=0, help="layout_scale; 0: the base alone")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="pictures at once")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda")] = "auto",
) -> None:
    """Paint the prompts of GenEval, T2I-CompBench, VISOR or COCO-MIG into the folder that the
    benchmark's own evaluator reads.

    What is there is not painted again. Prompts without boxes are planned.
    """
    from spatialgen.model_identity import model_identity
    from spatialgen.project import find_root
    from spatialgen.suites.catalogue import suite_of
    from spatialgen.suites.export import export as paint
    from spatialgen.suites.export import export_prompts
    from spatialgen.suites.translations import translate

    chosen = suite_of(suite.value)
    read = chosen.read(prompts)[:limit]
    if translations:
        read = translate(read, translations)
    settings: dict[str, Any] = {
        "seed": seed,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "layout_guidance_scale": layout_guidance,
        "layout_scale": scale,
    }
    models = find_root() / "models" if adapter is None or planner is None else Path()
    adapter, planner = adapter or models / "adapter", planner or models / "planner"
    settings["adapter"] = model_identity(str(adapter), None, "--adapter")
    unplanned = scale == 0 or all(prompt.layout for prompt in read)
    if not unplanned:
        settings["planner"] = model_identity(str(planner), None, "--planner")
    if prompts_only:
        done = export_prompts(chosen, read, out, settings=settings, samples=samples)
    else:
        from spatialgen.cli.painted import quieten

        quieten()  # before what warns while it is imported
        from spatialgen.pipelines.loading import load_pipeline

        pipe = load_pipeline(
            adapter, base=base, device=device, planner=None if unplanned else planner
        )
        painter = Painter(pipe, settings)
        done = paint(chosen, read, out, painter, settings=settings, samples=samples, batch=batch)
    print(f"{done.pictures} pictures in {out}, {done.painted} of them new; evaluate them with",
          f"  {done.command}", sep="\n", file=sys.stderr)  # fmt: skip


class Painter:
    """Makes the pictures of prompts: with their own boxes where they have some, else planned."""

    def __init__(self, pipe: Any, settings: dict[str, Any]) -> None:
        called = ("num_inference_steps", "guidance_scale", "layout_guidance_scale", "layout_scale")
        self.pipe, self.settings = pipe, {name: settings[name] for name in called}

    def __call__(self, prompts: "Sequence[Prompt]", seeds: Sequence[int]) -> "list[Image.Image]":
        """A picture of each prompt from the noise of its seed."""
        import torch

        layouts: list[Any] = [prompt.layout for prompt in prompts]
        if self.pipe.layout_planner is not None and not all(layouts):
            planned = self.pipe.layout_planner.plan([prompt.text for prompt in prompts])
            layouts = [own or plan for own, plan in zip(layouts, planned, strict=True)]
        pictures: list[Image.Image] = self.pipe(
            [prompt.text for prompt in prompts],
            layout_phrases=[[each.name for each in layout] for layout in layouts],
            layout_boxes=[[each.bbox for each in layout] for layout in layouts],
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            **self.settings,
        ).images
        return pictures
