"""Stage annotate: lake/images, lake/captions -> lake/boxes, metrics/annotate.json.

dvc repro annotate
dvc exp run -S annotate.passes=2            # a second look; the first is not paid again
dvc exp run -S annotate.min_area=0.01       # selects anew, asks nothing
dvc exp run -S annotate.given=/data/boxes.parquet   # asks only about the other rows
"""

from pathlib import Path

from spatialgen.grounding.gold import measure, planted_rows, read_given, read_gold
from spatialgen.grounding.metrics import count_boxes, write_recall_plot
from spatialgen.grounding.publish import publish_boxes
from spatialgen.grounding.stage import (
    annotate_stage,
    asked_rows,
    read_box_prompt,
    with_question,
)
from spatialgen.lake.lake import Lake
from spatialgen.metrics import write_metrics
from spatialgen.params import load_params
from spatialgen.project import guard
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline


def main() -> None:
    params = load_params()
    lake = Lake("lake")
    prompt = read_box_prompt(Path(params.annotate.prompt))
    given = read_given(params.annotate)
    gold = read_gold(params.annotate, given)
    stage = annotate_stage(params.annotate, params.compute, lake.path("images"))
    asked = asked_rows(lake, params.annotate, given)
    planted = planted_rows(asked["plain"], gold, prompt, params.annotate)
    runner = Inline(params.compute.device)
    with lake.run("annotate", stage.fp) as run:
        for view, rows in asked.items():
            label = "annotate" if view == "plain" else f"annotate ({view})"
            run.add(**vars(answer_rows(lake, stage, with_question(rows), runner, label=label)))
        run.add(**vars(answer_rows(lake, stage, planted, runner, label="annotate (planted)")))
        publish_boxes(lake, stage, asked, params.annotate, given)
    scores = measure(lake, stage, gold, planted, params.annotate)
    write_recall_plot(scores, Path("plots/annotate.csv"))
    write_metrics("annotate", count_boxes(lake, scores))


if __name__ == "__main__":
    guard(main)
