"""Stage evaluate: models/adapter, models/planner, the split test -> lake/generations,
metrics/evaluate.json, plots/evaluate.

dvc repro evaluate
dvc exp run -S evaluate.captions=500        # the first 200 are not painted again
dvc exp run -S 'evaluate.scales=[0.5,1.5]'  # paints only the new points
dvc exp run -S evaluate.inception=/models/pt_inception-2015-12-05-6726825d.pth
"""

from pathlib import Path
from typing import Any

from spatialgen.evaluation.asked import OFF, ON, PLANNED, asked_rows, conditions, held_out
from spatialgen.evaluation.distances import Networks, measure_distances
from spatialgen.evaluation.figures import JUDGES, evaluate_figures
from spatialgen.evaluation.painted import by_condition
from spatialgen.evaluation.sheets import write_sheet, write_sweeps
from spatialgen.evaluation.stage import adapter_identity, evaluate_stage
from spatialgen.fid import Inception
from spatialgen.grounding.detector import Detector
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import PartStore
from spatialgen.lake.schemas import GENERATIONS
from spatialgen.metrics import write_metrics
from spatialgen.model_loading import choose_device
from spatialgen.params import load_params
from spatialgen.planner.evaluate import planned
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.project import guard
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.publish import publish_parts
from spatialgen.rows.runner import Inline

ADAPTER, PLANNER = Path("models/adapter"), Path("models/planner")
PLOTS = Path("plots/evaluate")


def main() -> None:
    params = load_params()
    section, lake, device = params.evaluate, Lake("lake"), choose_device(params.compute.device)
    detector = Detector.from_pretrained(section.detector, device)
    inception = Inception.load(section.inception, device) if section.inception else None
    classes = frozenset(detector.config.classes)
    cases, others = held_out(lake, params, classes)
    layouts = None
    if PLANNED in section.also:
        layouts = planned(
            LayoutPlanner.from_pretrained(PLANNER, device=device),
            [case.example.caption for case in cases],
        )
    wanted = conditions(cases, params, adapter_identity(ADAPTER), layouts)
    stage, asked = evaluate_stage(lake, params, ADAPTER), asked_rows(cases, wanted, section.seeds)
    with lake.run("evaluate", stage.fp) as run:
        parts = PartStore(lake, GENERATIONS)
        run.add(**vars(answer_rows(lake, stage, asked, Inline(device), attachments=parts)))
        publish_parts(lake, GENERATIONS, stage, asked)
    painted = by_condition(lake, stage, asked)
    distances = measure_distances(lake, painted, others, Networks(detector, inception))
    figures = evaluate_figures(cases, painted, distances, section, classes)
    write_metrics("evaluate", figures)
    write_sweeps(figures, PLOTS)
    write_sheet(lake, cases, painted, PLOTS / "sheet.jpg")
    print(f"evaluate: {figures['captions']} captions, {figures['rows']} pictures: {said(figures)}")


def said(figures: dict[str, Any]) -> str:
    """The main figures, of the annotator/the detector, with the adapter on and off."""
    values = {
        (on, name): [str(figures[on][judge][name]["value"]) for judge in JUDGES]
        for name in ("geneval", "mig_miou", "present")
        for on in (ON, OFF)
    }
    shown = [f"{name} {on} {'/'.join(each)}" for (on, name), each in values.items()]
    kid, fid = figures[ON]["kid"]["value"], figures[ON]["fid"]
    measured = "FID not measured" if fid["value"] is None else f"FID {fid['value']} (n={fid['n']})"
    return f"{', '.join(shown)}, KID {kid}, {measured}, {figures[ON]['seconds']} s per picture"


if __name__ == "__main__":
    guard(main)
