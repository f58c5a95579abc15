"""metrics/evaluate.json: what was painted under each condition, as both judges see it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spatialgen.evaluation.asked import PLANNED, SHUFFLED, SWEPT, Case, read_layout, swept
from spatialgen.evaluation.painted import Painted
from spatialgen.evaluation.verdicts import Seen, boxes_of_seen, boxes_verdict, judge_picture
from spatialgen.layouts import Layout
from spatialgen.params import EvaluateParams
from spatialgen.planner.baselines import by_chance
from spatialgen.planner.scores import REFEREE
from spatialgen.relations.rules import RULES
from spatialgen.statistics import Figure, pooled, ratio

JUDGES = ("annotator", "detector")
Known = Mapping[str, frozenset[str] | None]  # names that a judge can find, by judge; None: any
Verdicts = Sequence[Sequence[Mapping[str, Any]]]  # of each caption, one for each picture of it


def evaluate_figures(
    cases: Sequence[Case],
    painted: Mapping[str, Sequence[Painted]],
    distances: Mapping[str, Mapping[str, Figure]],
    params: EvaluateParams,
    classes: frozenset[str],
) -> dict[str, Any]:
    """Nested figures of all conditions, {value, lo, hi, n}, n in cases: rows, each with boxes of
    its own, though a caption may be that of several; `classes` are the names that the detector can
    find.

    What failed counts as a picture of nothing. `chance` are the cases' things in boxes drawn from
    all of theirs, `truth` their own boxes: what the rules give without a generator or a judge.
    """
    known: Known = {"annotator": None, "detector": classes}
    examples = [case.example for case in cases]
    found = {
        condition: {
            **_condition(cases, rows, known),
            **{name: figure.as_dict() for name, figure in distances[condition].items()},
        }
        for condition, rows in painted.items()
    }
    return {
        "rows": sum(map(len, painted.values())),
        "failed": sum(each.row is None for rows in painted.values() for each in rows),
        "cases": len(cases),
        "captions": len({case.example.caption for case in cases}),
        "seeds": len(params.seeds),
        "truth": _of_layouts(cases, [each.layout for each in examples], known),
        "chance": _of_layouts(cases, by_chance(examples, examples), known),
        **{name: each for name, each in found.items() if "@" not in name},
        "sweeps": {param: _sweep(found, params, param) for param in SWEPT},
    }


def _sweep(found: Mapping[str, Any], params: EvaluateParams, param: str) -> dict[str, Any]:
    """Figures by the value of a param: what was asked for, and that of condition on."""
    values = sorted({*getattr(params, SWEPT[param]), getattr(params, param)})
    return {f"{value:g}": found[swept(params, param, value)] for value in values}


def _condition(cases: Sequence[Case], rows: Sequence[Painted], known: Known) -> dict[str, Any]:
    by_case: dict[int, list[Painted]] = {}
    for each in rows:
        by_case.setdefault(each.asked["row_id"], []).append(each)
    of_rows = {case.row_id: case for case in cases}
    figures: dict[str, Any] = {}
    for judge in JUDGES:
        verdicts = [
            [_verdict(of_rows[row_id], each, judge, known[judge]) for each in group]
            for row_id, group in by_case.items()
        ]
        figures[judge] = judged(verdicts)
        if rows and rows[0].asked["condition"] in (PLANNED, SHUFFLED):
            given = [
                [_given(each, judge, known[judge]) for each in group] for group in by_case.values()
            ]
            figures[judge] |= {f"given_{name[4:]}": each for name, each in placed(given).items()}
        figures[judge] = _as_dicts(figures[judge])
    there = [each.row["seconds"] for each in rows if each.row is not None]
    return {**figures, "seconds": round(float(np.mean(there)), 4) if there else None}


def _verdict(
    case: Case, painted: Painted, judge: str, known: frozenset[str] | None
) -> Mapping[str, Any]:
    if painted.row is None:
        return judge_picture(case.example, [], "", known)
    verdict: Mapping[str, Any] = painted.row[f"by_{judge}"]
    return verdict


def _given(painted: Painted, judge: str, known: frozenset[str] | None) -> Mapping[str, Any]:
    """How the picture follows the boxes that were given, which are not the row's own."""
    layout = read_layout(painted.asked["layout"])
    found = painted.row[judge] if painted.row is not None else []
    boxes = boxes_of_seen([Seen(each["name"], tuple(each["bbox"])) for each in found])
    return boxes_verdict(tuple(p for p in layout if known is None or p.name in known), boxes)


def _of_layouts(
    cases: Sequence[Case], layouts: Sequence[Layout], known: Known
) -> dict[str, dict[str, Any]]:
    """Figures of layouts as though a judge had found them in pictures."""
    found = [[Seen(each.name, each.bbox) for each in layout] for layout in layouts]
    verdicts = {
        judge: [
            [judge_picture(case.example, seen, "", known[judge])]
            for case, seen in zip(cases, found, strict=True)
        ]
        for judge in JUDGES
    }
    return {judge: _as_dicts(judged(each)) for judge, each in verdicts.items()}


def _as_dicts(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.as_dict() for name, figure in figures.items()}


def judged(verdicts: Verdicts) -> dict[str, Figure]:
    """Of all captions' verdicts: shares of the stated sides that hold by each of RULES and of all
    relations by the referee; `placed`; the share of the instances that are present; and the share
    of the pictures in which the absent name was found, of those that were asked for one."""
    figures = {rule: _share(verdicts, rule, "sides") for rule in RULES}
    planted = [
        [found for verdict in each if (found := verdict["absent_found"]) is not None]
        for each in verdicts
    ]
    return {
        **figures,
        REFEREE: _share(verdicts, REFEREE, "relations"),
        **placed(verdicts),
        "present": _share(verdicts, "present", "instances"),
        "absent": pooled([*map(sum, planted)], [*map(len, planted)]),
    }


def placed(verdicts: Verdicts) -> dict[str, Figure]:
    """Share of the instances that are where they are wanted (IoU of HIT at least), and their mean
    IoU, misses counting 0."""
    overlap, instances = (_totals(verdicts, name) for name in ("mig_iou", "instances"))
    return {
        "mig_hit": _share(verdicts, "mig_hits", "instances"),
        "mig_miou": ratio(np.array(overlap, np.float64), np.array(instances, np.float64)),
    }


def _share(verdicts: Verdicts, hits: str, asked: str) -> Figure:
    return pooled([round(n) for n in _totals(verdicts, hits)],
                  [round(n) for n in _totals(verdicts, asked)])  # fmt: skip


def _totals(verdicts: Verdicts, name: str) -> list[float]:
    """By caption."""
    return [sum(verdict[name] for verdict in each) for each in verdicts]
