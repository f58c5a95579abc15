"""metrics/annotate.json and its plot, from lake/boxes and from what gold says of it."""

import csv
from pathlib import Path
from typing import Any

from spatialgen.grounding.scores import BoxScores
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.statistics import wilson


def count_boxes(lake: Lake, scores: BoxScores) -> dict[str, Any]:
    """Rows, boxes, problems and agreement of lake/boxes; `truth` where gold knows some of it."""
    connection = duck.connect()
    try:
        connection.register("boxes", lake["boxes"].dataset())
        ((rows, failed, boxed, objects, absent, agree, disagree),) = connection.execute(
            """
            select count(*), count(error), count(*) filter (len(objects) > 0),
                   coalesce(sum(len(objects)), 0)::bigint,
                   coalesce(sum(len(absent)), 0)::bigint,
                   count(*) filter (spatial_agree), count(*) filter (not spatial_agree)
            from boxes
            """
        ).fetchall()
        relations = connection.execute(
            """
            select r.relation, count(*) filter (r.agrees), count(r.agrees)
            from (select unnest(relations) as r from boxes) group by 1 order by 1
            """
        ).fetchall()
        problems = connection.execute(
            "select p, count(*) from (select unnest(problems) as p from boxes) "
            "group by 1 order by 1"
        ).fetchall()
    finally:
        connection.close()
    metrics = {
        "rows": rows,
        "failed": failed,
        "boxed": boxed,
        "objects": objects,
        "absent": absent,
        "spatial_agree": wilson(agree, agree + disagree).as_dict(),
        "relations": {name: wilson(held, tested).as_dict() for name, held, tested in relations},
        "problems": dict(problems),
    }
    return metrics | ({"truth": _truth(scores)} if scores.pictures else {})


def _truth(scores: BoxScores) -> dict[str, Any]:
    sizes = scores.by_size()
    return {name: figure.as_dict() for name, figure in scores.measured().items()} | {
        "by_size": {
            size: {name: figure.as_dict() for name, figure in figures.items()}
            for size, figures in sizes.items()
        }
    }


def write_recall_plot(scores: BoxScores, path: Path) -> None:
    """The share of true boxes by the IoU that covers them, as CSV for `dvc plots show`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = scores.recall_curve()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[*rows[0]], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows if scores.covered else [])
