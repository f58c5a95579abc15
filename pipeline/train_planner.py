"""Stage train_planner: lake/boxes, captions, splits -> models/planner, metrics/planner.json.

dvc repro train_planner
dvc exp run -S train_planner.base=/models/Qwen2.5-0.5B -S train_planner.lora_rank=16
"""

from pathlib import Path
from typing import Any

from spatialgen.lake.lake import Lake
from spatialgen.lake.links import link_tree
from spatialgen.metrics import write_metrics
from spatialgen.model_loading import choose_device
from spatialgen.params import load_params
from spatialgen.planner.evaluate import evaluate_planner
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.planner.stage import PUBLISHED, examples_of, split_rows, train_planner
from spatialgen.project import guard
from spatialgen.training.launch import is_main, launch
from spatialgen.training.live import LiveCurve

LIVE = Path("plots/train_planner")


def main() -> None:
    params = load_params()
    if launch(params.compute.processes):
        return
    section, lake = params.train_planner, Lake("lake")
    train, val, test = (split_rows(lake, section, name) for name in ("train", "val", "test"))
    with LiveCurve(LIVE, section.steps) as curve:
        folder = train_planner(lake, section, params.compute, train, val, curve)
    if not is_main():
        return
    link_tree(folder.result, PUBLISHED)
    planner = LayoutPlanner.from_pretrained(PUBLISHED, device=choose_device(params.compute.device))
    figures = evaluate_planner(planner, examples_of(test), examples_of(train), section.samples)
    write_metrics("planner", figures)
    print(f"train_planner: {folder.root.name}, {figures['rows']} test rows: {summary(figures)}")


def summary(figures: dict[str, Any]) -> str:
    shown = {
        "positions that hold": figures["relation"]["referee"],
        "geneval": figures["relation"]["geneval"],
        "counterfactual": figures["counterfactual"],
        "things F1": figures["object_f1"],
        "mean IoU": figures["mean_iou"],
        "copied from the nearest": figures["copy_nearest"]["mean_iou"],
    }
    return ", ".join(f"{name} {figure['value']}" for name, figure in shown.items())


if __name__ == "__main__":
    guard(main)
