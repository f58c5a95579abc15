"""Stage train_adapter: lake/latents, prompts, boxes -> models/adapter, metrics/adapter.json.

dvc repro train_adapter
dvc exp run -S train_adapter.adapter_layers=mid_up -S train_adapter.steps=6000
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel as Unet

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.adapter.stage import train_adapter
from spatialgen.lake.lake import Lake
from spatialgen.lake.links import link_tree
from spatialgen.metrics import write_metrics
from spatialgen.model_loading import local_or_hub
from spatialgen.params import EncodeParams, load_params
from spatialgen.project import guard
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.launch import is_main, launch
from spatialgen.training.live import LiveCurve

LIVE, PUBLISHED = Path("plots/train_adapter"), Path("models/adapter")


def main() -> None:
    params = load_params()
    if launch(params.compute.processes):
        return
    with LiveCurve(LIVE, params.train_adapter.steps) as curve:
        folder = train_adapter(Lake("lake"), params, curve)
    if not is_main():
        return
    link_tree(folder.result, PUBLISHED)
    keep_last_grid(folder)
    figures = {**last_figures(folder), "unet_share": round(unet_share(params.encode), 6)}
    write_metrics("adapter", figures)
    print(
        f"train_adapter: {folder.root.name}, " + ", ".join(f"{k} {v}" for k, v in figures.items())
    )


def last_figures(folder: TrainingFolder) -> dict[str, Any]:
    """Of the validation with the best score, and the share of the UNet's parameters."""
    checks = [figures for figures in folder.noted() if "val/score" in figures]
    best = max(checks, key=lambda figures: figures["val/score"])
    chosen = {name.removeprefix("val/"): value for name, value in best.items() if "val/" in name}
    return {"step": best["step"], **{name: round(value, 6) for name, value in chosen.items()}}


def unet_share(params: EncodeParams) -> float:
    """Parameters of the adapter, of those of the UNet."""
    unet = Unet.load_config(local_or_hub(params.model), subfolder="unet", revision=params.revision)
    with torch.device("meta"):
        whole: int = sum(each.numel() for each in Unet.from_config(unet).parameters())
    adapter = SpatialAdapter.from_pretrained(PUBLISHED)
    return sum(each.numel() for each in adapter.parameters()) / float(whole)


def keep_last_grid(folder: TrainingFolder) -> None:
    """The last validation's pictures, beside the curves."""
    grids = sorted((folder.root / "validation").glob("step-*.jpg"), key=lambda p: p.stat().st_mtime)
    if grids:
        shutil.copyfile(grids[-1], LIVE / "validation.jpg")


if __name__ == "__main__":
    guard(main)
