"""How well the shipped annotator and the second judge find what is in held-out pictures.

    python -m tests.benchmarks.annotator [--pictures 1000] [--sheet FILE]

Pictures of the split `test`, which no model was trained on, as JPEG files. Each is asked for all of
its things and for one that is not there, and then the same for its grounds. Prints JSON: mean_iou
(of matched boxes), mean_iou_misses_0, precision, recall and F1, false_box_rate (of absent names).
"""

import argparse
import io
import random
import time
from pathlib import Path

import numpy as np
from PIL import Image

from spatialgen.grounding.annotator import BoxAnnotator
from spatialgen.grounding.detector import Detector
from spatialgen.grounding.qwen2_vl import ask, read_answer
from spatialgen.grounding.scores import BoxScores
from spatialgen.sample import train_annotator
from spatialgen.sample.annotator_data import Objects, full_question, shown_objects, training_view
from spatialgen.sample.sheet import FOUND, TRUE, draw_sheet
from spatialgen.sample.train_judge import score
from spatialgen.sample.world.classes import STUFF
from spatialgen.sample.world.pictures import as_jpeg
from spatialgen.sample.world.view import View, normalised
from tests.benchmarks.harness import report

SAMPLE = Path(train_annotator.__file__).parent
BATCH = 32
SHOWN = 18  # pictures of the sheet


def as_served(view: View) -> Image.Image:
    """The picture after its JPEG compression."""
    return Image.open(io.BytesIO(as_jpeg(view.draw()))).convert("RGB")


def main() -> None:
    """Measure both on the same pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--model", type=Path, default=SAMPLE / "qwen2-vl-small")
    parser.add_argument("--judge", type=Path, default=SAMPLE / "judge-small")
    parser.add_argument("--sheet", type=Path, help="draw true boxes and the annotator's there")
    options = parser.parse_args()
    views = [training_view("test", 0, index) for index in range(options.pictures)]
    pictures = [as_served(view) for view in views]
    sides = [max(box.width, box.height) for view in views for box in view.boxes]
    rng = random.Random(0)
    annotator, found_boxes = measure_annotator(
        options.model, pictures, [full_question(view, rng).truth for view in views]
    )
    grounds, _ = measure_annotator(
        options.model, pictures, [ground_question(view, rng) for view in views]
    )
    if options.sheet:
        shown = range(min(SHOWN, len(views)))
        layers = [
            (TRUE, [[normalised(box) for box in views[i].boxes] for i in shown]),
            (FOUND, [found_boxes[i] for i in shown]),
        ]
        draw_sheet(pictures[:SHOWN], layers).save(options.sheet, quality=85)
    judge = Detector.from_pretrained(options.judge)
    start = time.perf_counter()
    found = score(judge, pictures, views)
    found["pictures_per_s"] = len(views) / (time.perf_counter() - start)
    report(
        "annotator",
        {
            "pictures": len(views),
            "things": len(sides),
            "median_side": float(np.median(sides)),
            "annotator": rounded(annotator),
            "annotator_on_grounds": rounded(grounds),
            "judge": rounded(found),
        },
        {
            "annotator: mean IoU, misses 0, of 0.85": annotator["mean_iou_misses_0"] >= 0.85,
            "annotator: F1 of 0.95": annotator["f1_50"] >= 0.95,
            "annotator: boxes for 5 % of absent names": annotator["false_box_rate"] <= 0.05,
            "judge: precision of 0.97": found["precision_50"] >= 0.97,
            "judge: recall of 0.97": found["recall_50"] >= 0.97,
        },
    )


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """To four digits."""
    return {name: round(value, 4) for name, value in figures.items()}


def ground_question(view: View, rng: random.Random) -> Objects:
    """The grounds of a picture, and one that is not there."""
    shown = shown_objects(view)
    absent = rng.choice([name for name in STUFF if name not in shown])
    return {name: boxes for name, boxes in shown.items() if name in STUFF} | {absent: []}


def measure_annotator(
    folder: Path, pictures: list[Image.Image], truths: list[Objects]
) -> tuple[dict[str, float], list[list[list[float]]]]:
    """Scores over all pictures with pictures per second, and what was found in each."""
    annotator = BoxAnnotator.from_pretrained(str(folder), device="cpu")
    scores = BoxScores()
    found: list[list[list[float]]] = []
    start = time.perf_counter()
    for first in range(0, len(pictures), BATCH):
        part = slice(first, first + BATCH)
        questions = [ask(train_annotator.PROMPT, list(truth)) for truth in truths[part]]
        answers = annotator.ask([annotator.prepare(each) for each in pictures[part]], questions)
        for answer, truth in zip(answers, truths[part], strict=True):
            boxes = read_answer(answer.text)
            scores.add(boxes, truth)
            found.append([bbox for each in boxes.values() for bbox in each])
    seconds = time.perf_counter() - start
    return scores.figures() | {"pictures_per_s": len(pictures) / seconds}, found


if __name__ == "__main__":
    main()
