"""metrics/planner.json: a planner on held-out rows; beside it the rows' own boxes, chance, and the
layout of the nearest known caption."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spatialgen.layouts import Layout
from spatialgen.planner.baselines import by_chance, copy_nearest
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.planner.renames import rename, unseen_nouns
from spatialgen.planner.scores import (
    Example,
    figures_by_kind,
    layout_figures,
    opposed,
    relation_figures,
)
from spatialgen.relations.parse import Relation
from spatialgen.statistics import Figure, wilson

BATCH = 64


def evaluate_planner(
    planner: LayoutPlanner, examples: Sequence[Example], known: Sequence[Example], samples: int = 1
) -> dict[str, Any]:
    """Figures of greedy layouts for `examples` (with more `samples`, re-ranked by the referee, and
    said so under `reranked`), and of the baselines, which draw on the `known` ones."""
    captions = [each.caption for each in examples]
    layouts, true = planned(planner, captions), [each.layout for each in examples]
    figures: dict[str, Any] = {
        "rows": len(examples),
        **layout_scores(examples, layouts),
        "by_relation": _as_dicts(figures_by_kind(examples, layouts)),
        "counterfactual": counterfactual(planner, examples).as_dict(),
        "unseen_names": _as_dicts(unseen_names(planner, examples, known)),
        **freely(planner, captions),
        "reference": {"relation": _as_dicts(relation_figures(examples, true))},
        "chance": _but_names(layout_scores(examples, by_chance(examples, known))),
        "copy_nearest": layout_scores(examples, copy_nearest(captions, known)),
    }
    if samples > 1:
        reranked = planned(planner, captions, samples=samples)
        figures["reranked"] = {"samples": samples, **layout_scores(examples, reranked)}
    return figures


def layout_scores(examples: Sequence[Example], layouts: Sequence[Layout]) -> dict[str, Any]:
    """What there is to say of layouts, as nested figures."""
    return {
        "relation": _as_dicts(relation_figures(examples, layouts)),
        **_as_dicts(layout_figures(examples, layouts)),
    }


def _but_names(figures: dict[str, Any]) -> dict[str, Any]:
    """Without what the names decide, where they were given."""
    return {
        name: each for name, each in figures.items() if not name.startswith(("object", "count"))
    }


def _as_dicts(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.as_dict() for name, figure in figures.items()}


def planned(planner: LayoutPlanner, captions: Sequence[str], **options: Any) -> list[Layout]:
    """A layout for each caption, some at a time."""
    return [each for part in _parts(captions) for each in planner.plan(part, **options)]


def freely(planner: LayoutPlanner, captions: Sequence[str]) -> dict[str, Any]:
    """Share of the captions after which the model writes a layout though nothing makes it do so."""
    found = [each for part in _parts(captions) for each in planner.write_freely(part)]
    return {"parse_rate": wilson(sum(each is not None for each in found), len(found)).as_dict()}


def counterfactual(planner: LayoutPlanner, examples: Sequence[Example]) -> Figure:
    """Of the captions with left or right, above or below exchanged: the share of the exchanged
    positions that hold in their plans. One that knows what is usual, not what is said, fails here.
    """
    pairs = [pair for each in examples for pair in opposed(each)]
    layouts = planned(planner, [each.caption for each in pairs])
    return relation_figures(pairs, layouts)["referee"]


def unseen_names(
    planner: LayoutPlanner, examples: Sequence[Example], known: Sequence[Example]
) -> dict[str, Figure]:
    """F1 of the things, and the share of their positions that hold by the referee, where each thing
    is called by a noun that is in no known caption."""
    nouns = unseen_nouns([each.caption for each in known])
    renamed = [each for n, example in enumerate(examples) for each in _renamed(example, n, nouns)]
    layouts = planned(planner, [each.caption for each in renamed])
    return {
        "object_f1": layout_figures(renamed, layouts)["object_f1"],
        "referee": relation_figures(renamed, layouts)["referee"],
    }


def _renamed(example: Example, seed: int, nouns: Sequence[str]) -> list[Example]:
    """The example with other names; none where a thing keeps its own."""
    rng = np.random.default_rng(seed)
    caption, layout, others = rename(example.caption, example.layout, rng, nouns)
    if {each.name for each in example.layout} != {*others}:
        return []
    stated = tuple(
        Relation(each.kind, others.get(each.subject, each.subject),
                 tuple(others.get(name, name) for name in each.objects))
        for each in example.relations
    )  # fmt: skip
    return [Example(caption, layout, stated)]


def _parts(captions: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(captions), BATCH):
        yield captions[first : first + BATCH]
