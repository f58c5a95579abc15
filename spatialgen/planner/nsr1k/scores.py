"""How good layouts are by the rules of NSR-1K."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spatialgen.layouts import Layout
from spatialgen.planner.nsr1k.files import CountingPrompt, SpatialPrompt
from spatialgen.planner.nsr1k.rules import boxes_named, follows
from spatialgen.planner.scores import Example, layout_figures
from spatialgen.statistics import Figure, ratio, wilson


def alone(layouts: Sequence[Layout]) -> list[list[Layout]]:
    """One layout of each prompt, as the scores take them."""
    return [[each] for each in layouts]


@dataclass(frozen=True)
class SpatialScore:
    """Of some layouts for each prompt."""

    accuracy: Figure  # share of the layouts that show the relation; its n counts prompts
    layouts: int
    missing: int  # layouts that lack one of the two things, and so fail
    mean_iou: Figure  # with the reference boxes, of prompts that have some; misses count 0


def score_spatial(
    prompts: Sequence[SpatialPrompt], layouts: Sequence[Sequence[Layout]]
) -> SpatialScore:
    """`layouts` holds for each prompt as many as for any other."""
    passed, missing = np.zeros(len(prompts)), 0
    for place, (prompt, several) in enumerate(zip(prompts, layouts, strict=True)):
        for layout in several:
            subjects, objects = (boxes_named(name, layout) for name in prompt.names)
            missing += not (subjects and objects)
            passed[place] += follows(prompt.relation, subjects, objects)
    pairs = [
        (Example(prompt.text, prompt.layout, ()), layout)
        for prompt, several in zip(prompts, layouts, strict=True)
        for layout in several
        if prompt.layout
    ]
    figures = layout_figures([example for example, _ in pairs], [layout for _, layout in pairs])
    each = len(layouts[0])
    accuracy = (
        wilson(int(passed.sum()), len(prompts))
        if each == 1
        else ratio(passed, np.full(len(prompts), float(each)))
    )
    return SpatialScore(accuracy, each * len(prompts), missing, figures["mean_iou"])


@dataclass(frozen=True)
class CountingScore:
    """Of some layouts for each prompt; the n of each counts prompts."""

    precision: Figure
    recall: Figure
    accuracy: Figure  # share of the layouts in which all numbers are right
    mae: float  # mean error of a number


def score_counting(
    prompts: Sequence[CountingPrompt], layouts: Sequence[Sequence[Layout]]
) -> CountingScore:
    """Means over prompts. Comparisons count for the accuracy alone: there the first number and the
    order of the two have to be right."""
    right, shares, errors = [], [], []
    for prompt, several in zip(prompts, layouts, strict=True):
        found = [_numbers(prompt, layout) for layout in several]
        right.append(float(np.mean([_is_right(prompt, each) for each in found])))
        if not prompt.comparison:
            shares.append(np.mean([_shares(prompt, each) for each in found], axis=0))
            errors.append(np.mean([_error(prompt, each) for each in found]))
    precision, recall = np.array(shares).reshape(-1, 2).T
    return CountingScore(
        ratio(precision, np.ones(len(precision))),
        ratio(recall, np.ones(len(recall))),
        ratio(np.array(right), np.ones(len(right))),
        float(np.mean(errors)) if errors else 0.0,
    )


def _numbers(prompt: CountingPrompt, layout: Layout) -> Counter[str]:
    """How many of each thing, by the prompt's names where one name holds the other."""
    names = [name for name, _ in prompt.numbers]
    return Counter(
        next((n for n in names if n in each.name or each.name in n), each.name) for each in layout
    )


def _is_right(prompt: CountingPrompt, found: Counter[str]) -> bool:
    if not prompt.comparison:
        return all(found[name] == number for name, number in prompt.numbers)
    (first, number), (second, other) = prompt.numbers
    wanted, order = np.sign(number - other), np.sign(found[first] - found[second])
    return bool(found[first] == number and wanted == order)


def _shares(prompt: CountingPrompt, found: Counter[str]) -> tuple[float, float]:
    """Precision and recall."""
    hits = sum(min(found[name], number) for name, number in prompt.numbers)
    true = sum(number for _, number in prompt.numbers)
    return hits / max(1, found.total()), hits / max(1, true)


def _error(prompt: CountingPrompt, found: Counter[str]) -> float:
    return float(np.mean([abs(found[name] - number) for name, number in prompt.numbers]))
