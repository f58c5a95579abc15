"""`spatialgen generate` and `spatialgen trace`: a picture, and what made it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

UNBOXED = "unboxed_rows"

if TYPE_CHECKING:
    from PIL import Image

    from spatialgen.layouts import Layout


def generate(
    prompt: Annotated[str, typer.Argument(help="what is to be in the picture, and where")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the .png file to write")],
    layout: Annotated[
        Path | None,
        typer.Option(help="its boxes: JSON of {name, bbox}, or <obj>..</obj><box>[..]</box>"),
    ] = None,
    draw_boxes: Annotated[bool, typer.Option("--draw-boxes", help="draw them in")] = False,
    adapter: Annotated[Path | None, typer.Option(help="its folder; models/adapter")] = None,
    planner: Annotated[Path | None, typer.Option(help="its folder; models/planner")] = None,
    base: Annotated[
        str | None, typer.Option(help="the adapter's base, where it is elsewhere than it was")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="of the noise")] = 0,
    samples: Annotated[
        int, typer.Option(min=1, max=64, help="layouts planned; the best by the referee is taken")
    ] = 8,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="of denoising")] = 25,
    guidance: Annotated[float, typer.Option(min=0, max=100, help="guidance_scale")] = 5.0,
    layout_guidance: Annotated[
        float, typer.Option(min=0, max=100, help="layout_guidance_scale")
    ] = 0.0,
    scale: Annotated[
        float, typer.Option(min=0, max=100, help="layout_scale; 0: the base alone")
    ] = 1.0,
    beta: Annotated[
        float, typer.Option(min=0, max=1, help="share of the steps in which the adapter works")
    ] = 1.0,
    height: Annotated[int | None, typer.Option(min=8, help="pixels; the base's own")] = None,
    width: Annotated[int | None, typer.Option(min=8, help="pixels; the base's own")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda")] = "auto",
) -> None:
    """Paint a caption, its things in the boxes of a layout file or where the planner puts them."""
    quieten()  # before what warns while it is imported
    import torch

    from spatialgen.errors import InputError
    from spatialgen.layouts import format_layout
    from spatialgen.pipelines.loading import load_pipeline
    from spatialgen.pipelines.provenance import save_picture
    from spatialgen.project import find_root

    given = read_layout(layout) if layout else None
    adapter = adapter or find_root() / "models" / "adapter"
    planned = given is None and scale > 0 and beta > 0
    if planned:
        planner = planner or find_root() / "models" / "planner"
        given = plan(planner, prompt, samples, seed)
    pipe = load_pipeline(adapter, base=base, device=device)
    boxes: dict[str, Any] = {}
    if given is not None:
        boxes["layout_phrases"] = [[thing.name for thing in given]]
        boxes["layout_boxes"] = [[thing.bbox for thing in given]]
    usual = pipe.spatial_adapter.origin.get("resolution")  # what the adapter was trained at
    settings = {
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "layout_guidance_scale": layout_guidance,
        "layout_scale": scale,
        "layout_scheduled_sampling_beta": beta,
        "height": height or usual,
        "width": width or usual,
    }
    noise = torch.Generator().manual_seed(seed)  # on the CPU: equal on every device
    try:
        picture = pipe(prompt, generator=noise, **settings, **boxes).images[0]
    except ValueError as error:  # such as sides that no latents have
        raise InputError(f"{' '.join(str(error).split())}; change them") from None
    followed = given or ()
    about = {
        "prompt": prompt,
        "seed": seed,
        **settings,
        "size": [*picture.size],
        "dtype": str(pipe.dtype).removeprefix("torch."),
        "device": pipe.device.type,
        "boxes_drawn": draw_boxes,
        "layout": format_layout(followed),
        "adapter": pipe.spatial_adapter.origin,
        "planner": _said_by(planner) if planned and planner else None,
    }
    if draw_boxes:
        picture = draw_layout(picture, followed)
    save_picture(picture, out, about)
    print(f"{format_layout(followed) or 'no layout'}\npainted in {out}", file=sys.stderr)


def trace(
    picture: Annotated[Path, typer.Argument(help="a PNG of spatialgen generate")],
) -> None:
    """Show what made a picture, and the SQL that lists the rows behind it."""
    from spatialgen.errors import LakeError
    from spatialgen.lake.lake import Lake
    from spatialgen.pipelines.provenance import read_about, rows_command

    about = read_about(picture)
    for line in said_lines(about):
        print(line)
    for part in ("adapter", "planner"):
        origin = about.get(part) or {}
        if "where" not in origin:
            continue
        try:
            command = rows_command(Lake(), origin)
        except LakeError as error:
            command = f"-- {error}"
        others = f", and {n} others as pictures without boxes" if (n := origin.get(UNBOXED)) else ""
        print(f"\nrows that trained the {part}, {origin['trained_rows']}{others}:\n{command}")


def said_lines(about: dict[str, Any], prefix: str = "") -> list[str]:
    """`name: value` lines, nested ones with dotted names."""
    lines = []
    for name, value in about.items():
        if isinstance(value, dict):
            lines += said_lines(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix}{name}: {' '.join(str(value).split())}")
    return lines


def read_layout(path: Path) -> "Layout":
    """The layout of a file, in either form; InputError where it is none."""
    from spatialgen.errors import InputError
    from spatialgen.layouts import make_layout, parse_layout

    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a UTF-8 file") from None
    if not text:
        raise InputError(f"{path} is empty; write [] for a layout without things")
    if not text.startswith(("[", "{")):
        return parse_layout(text)
    try:
        objects = json.loads(text)
        return make_layout([{"name": each["name"], "bbox": each["bbox"]} for each in objects])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise InputError(
            f'{path} is no list of {{"name": ..., "bbox": [x1, y1, x2, y2]}} ({said}); mend it'
        ) from None


def plan(planner: Path, prompt: str, samples: int, seed: int) -> "Layout":
    """The planner's layout of a caption; said so where the referee finds its positions wrong."""
    from spatialgen.layouts import boxes_by_name
    from spatialgen.planner.planner import LayoutPlanner
    from spatialgen.relations.referee import judge, spatial_agree

    (layout,) = LayoutPlanner.from_pretrained(planner).plan([prompt], samples=samples, seed=seed)
    if spatial_agree(judge(prompt, boxes_by_name(layout))) is False:
        print("the planned boxes are not where the caption says; see --samples, --layout",
              file=sys.stderr)  # fmt: skip
    return layout


def quieten() -> None:
    """Leave the console to what the commands say."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for each in (diffusers_logging, transformers_logging):
        each.set_verbosity_error()
        each.disable_progress_bar()


def draw_layout(picture: "Image.Image", layout: "Layout") -> "Image.Image":
    """The picture, larger where it is small, with the boxes and names drawn in."""
    from spatialgen.drawing import Panel

    return Panel(picture, [(thing.name, thing.bbox) for thing in layout], []).boxed()


def _said_by(planner: Path) -> dict[str, Any]:
    from spatialgen.planner.planner import CONFIG

    said: dict[str, Any] = json.loads((planner / CONFIG).read_text(encoding="utf-8"))
    return said
