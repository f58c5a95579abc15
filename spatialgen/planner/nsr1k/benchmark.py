"""NSR-1K scored: a planner, baselines, the reference boxes, and what others published, beside each
other."""

from collections.abc import Sequence

from spatialgen.layouts import Layout, Placed
from spatialgen.planner.baselines import by_chance, copy_nearest
from spatialgen.planner.evaluate import planned
from spatialgen.planner.nsr1k.files import SpatialPrompt, written
from spatialgen.planner.nsr1k.scores import (
    CountingScore,
    SpatialScore,
    alone,
    score_counting,
    score_spatial,
)
from spatialgen.planner.nsr1k.training import Data
from spatialgen.planner.nsr1k.words import positions_not_shown
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.planner.scores import Example

GREEDY, DRAWN, BEST = "ours, greedy", "ours, drawn", "ours, best of the drawn by the judge"
ANYWHERE = (0.0, 0.0, 1.0, 1.0)


# Public systems: figures by these rules of the layouts that are published in the repositories of
# LayoutGPT and of Lay-Your-Scene (LayouSyn), five of each prompt.
PUBLISHED_SPATIAL: tuple[tuple[str, float, int | None], ...] = (  # accuracy, missing of 1415
    ("LayouSyn, trained on GRIT", 0.926, 20),
    ("LayoutGPT, GPT-4o-mini", 0.920, 47),
    ("LayoutGPT, GPT-4", 0.916, 36),
    ("LayouSyn, trained on COCO", 0.875, None),
    ("LayoutGPT, Llama-3.1", 0.754, 73),
    ("LayoutGPT, Llama-2-13B", 0.450, 70),
)
PUBLISHED_COUNTING = (  # precision, recall, accuracy, mean absolute error; of 3810 layouts
    ("LayouSyn", 0.776, 0.992, 0.951, 0.03),
    ("LayoutGPT, GPT-4", 0.810, 0.856, 0.781, 0.28),
    ("LayoutGPT, GPT-4o-mini", 0.738, 0.868, 0.775, 0.27),
    ("LayoutGPT, Llama-3.1", 0.786, 0.840, 0.717, 0.33),
    ("LayoutGPT, Llama-2-13B", 0.789, 0.834, 0.681, 0.36),
)


def measure_spatial(planner: LayoutPlanner, data: Data, samples: int) -> dict[str, SpatialScore]:
    """Scores of the planner's layouts for the spatial prompts: greedy ones, `samples` drawn ones of
    each and the best of these by the judge; of baselines, of train's prompts; of the reference."""
    prompts = data.val
    texts = [each.text for each in prompts]
    known = [_example(each) for each in (*data.train, *data.held_out)]
    asked = [_example(each) for each in prompts]
    chance = [by_chance(asked, known, seed) for seed in range(samples)]
    found = {
        **_ours(planner, texts, samples),
        "copied from the nearest train prompt": alone(copy_nearest(texts, known)),
        "chance: boxes of train prompts": [[*several] for several in zip(*chance, strict=True)],
        "reference boxes": [[each.layout] for each in prompts],
    }
    return {name: score_spatial(prompts, layouts) for name, layouts in found.items()}


def measure_counting(planner: LayoutPlanner, data: Data, samples: int) -> dict[str, CountingScore]:
    """Likewise for the counting prompts, without a judge and baselines."""
    prompts = data.counting_val
    found = {
        **_ours(planner, [each.text for each in prompts], samples),
        "reference boxes": [[each.layout] for each in prompts],
    }
    found.pop(BEST, None)  # the judge reads positions
    return {name: score_counting(prompts, layouts) for name, layouts in found.items()}


def _ours(
    planner: LayoutPlanner, texts: Sequence[str], samples: int
) -> dict[str, list[list[Layout]]]:
    """Layouts for each text: the greedy one; and of several drawn ones all, and the one that the
    judge of the words finds least wrong."""
    found = {GREEDY: alone(planned(planner, texts))}
    if samples > 1:
        drawn: list[Layout] = []

        def judge(text: str, layout: Layout) -> int:
            drawn.append(layout)
            return positions_not_shown(text, layout)

        best = planned(planner, texts, samples=samples, judge=judge)
        found[DRAWN] = [drawn[at : at + samples] for at in range(0, len(drawn), samples)]
        found[BEST] = alone(best)
    return found


def _example(prompt: SpatialPrompt) -> Example:
    """The prompt with its things, somewhere where it has no reference."""
    named = tuple(Placed(written(name, prompt.text), ANYWHERE) for name in prompt.names)
    return Example(prompt.text, prompt.layout or named, ())
