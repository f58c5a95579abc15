"""How well the small Kolors draws what held-out captions name, and how little it places it.

    python -m tests.benchmarks.generator [--model FOLDER] [--captions 500] [--sheet FILE]

Captions of the split `test`, in the proportions of the training, and as many that state a side.
Both judges look at what is drawn, at the true pictures, and at what the autoencoder makes of these
(the ceiling). Prints JSON, shares with 95 % intervals: single (of the captions of one thing, those
whose thing is there), named (of all captions, those whose things are all there), objects (of all
names), counted (of all captions, those with as many things as told and no others); position
accuracy by named rules, where what is missing counts as wrong, with the accuracy of the opposite
side, which is what placing at random would give; KID on the second judge's features.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import KolorsPipeline
from PIL import Image

from spatialgen.grounding.annotator import BoxAnnotator
from spatialgen.grounding.detector import Detector
from spatialgen.grounding.qwen2_vl import ask, read_answer
from spatialgen.kid import BLOCKS, kid
from spatialgen.relations.rules import RULES, Side
from spatialgen.sample.draw_generated import GUIDANCE, STEPS, draw_captions
from spatialgen.sample.generator_data import NAMES, SIZES, draw_small, generator_view
from spatialgen.sample.generator_latents import encode_views
from spatialgen.sample.sheet import draw_sheet
from spatialgen.sample.train_annotator import PROMPT
from spatialgen.sample.world.captions import OPPOSITE, Situation, write_situation
from spatialgen.sample.world.captions import RULES as CAPTION_RULES
from spatialgen.sample.world.view import View, seeded, show
from spatialgen.statistics import Figure, wilson
from tests.benchmarks.annotator import SAMPLE
from tests.benchmarks.harness import report

BATCH = 32
SHOWN = 15  # captions of the sheet
Boxes = dict[str, list[list[float]]]
Pictures = list[Image.Image]


def side_view(index: int) -> View:
    """A view of two things, one on a side of the other."""
    (rule,) = (rule for rule in CAPTION_RULES["strong"] if rule.__name__ == "_side")

    def make(rng: random.Random) -> Situation:
        while True:
            situation = write_situation(rng, rule, "strong", NAMES)
            if len(situation.things) == 2:
                return situation

    return show(seeded("test", 1, index), make, SIZES)


@dataclass(frozen=True)
class Judges:
    """The annotator, asked for what a caption names and for one thing more, and the detector."""

    annotator: BoxAnnotator
    detector: Detector

    def look(self, pictures: Pictures, views: Sequence[View]) -> dict[str, list[Boxes]]:
        """What each finds in each picture, the surest first."""
        found = [thing for start in range(0, len(pictures), BATCH)
                 for thing in self.detector.detect(pictures[start : start + BATCH])]  # fmt: skip
        detected: list[Boxes] = []
        for things in found:
            boxes: Boxes = {}
            for thing in things:
                boxes.setdefault(thing.name, []).append(thing.bbox)
            detected.append(boxes)
        return {"annotator": list(self._ask(pictures, views)), "judge": detected}

    def _ask(self, pictures: Pictures, views: Sequence[View]) -> Iterator[Boxes]:
        rng = random.Random(0)
        for start in range(0, len(pictures), BATCH):
            part = slice(start, start + BATCH)
            questions = []
            for view in views[part]:
                names = list(dict.fromkeys(view.situation.things))
                absent = [name for name in NAMES if name not in names]
                questions.append(ask(PROMPT, [*names, rng.choice(absent)]))
            prepared = [self.annotator.prepare(picture) for picture in pictures[part]]
            for answer in self.annotator.ask(prepared, questions):
                yield read_answer(answer.text)


def presence(views: Sequence[View], found: Sequence[Boxes]) -> dict[str, Figure]:
    """What is there of what captions name, and of what they do not."""
    single, named, objects, counted, others = [], [], [], [], []
    for view, boxes in zip(views, found, strict=True):
        things = view.situation.things
        here = [bool(boxes.get(name)) for name in dict.fromkeys(things)]
        named.append(all(here))
        objects += here
        if len(things) == 1:
            single.append(all(here))
        number = {name: len(each) for name, each in boxes.items() if each}
        counted.append(number == {name: things.count(name) for name in things})
        others.append(bool(number.keys() - set(things)))
    rows = {"single": single, "named": named, "objects": objects, "counted": counted,
            "unnamed": others}  # fmt: skip
    return {name: wilson(sum(row), len(row)) for name, row in rows.items()}


def placing(views: Sequence[View], found: Sequence[Boxes]) -> dict[str, dict[str, Figure]]:
    """Accuracy by each rule of the side that captions state, and of the opposite one."""
    right: dict[str, list[bool]] = {name: [] for name in RULES}
    wrong: dict[str, list[bool]] = {name: [] for name in RULES}
    for view, boxes in zip(views, found, strict=True):
        (claim,) = view.situation.claims
        side: Any = claim.relation
        things = view.situation.things
        subject, other = boxes.get(things[claim.subject]), boxes.get(things[claim.objects[0]])
        for name, rule in RULES.items():
            both = bool(subject and other)
            right[name].append(both and rule(side, subject or [], other or []))
            opposite: Side = OPPOSITE[side]  # type: ignore[assignment]
            wrong[name].append(both and rule(opposite, subject or [], other or []))
    return {
        name: {"accuracy": wilson(sum(right[name]), len(views)),
               "opposite": wilson(sum(wrong[name]), len(views))}
        for name in RULES
    }  # fmt: skip


@torch.inference_mode()
def rebuild(pipeline: KolorsPipeline, views: Sequence[View]) -> Pictures:
    """The views' pictures as the autoencoder's decoder draws them."""
    pictures: Pictures = []
    for start in range(0, len(views), BATCH):
        latents = encode_views(pipeline.vae, views[start : start + BATCH]).to(pipeline.device)
        pixels = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
        pictures += pipeline.image_processor.postprocess(pixels)
    return pictures


def features(judge: Detector, pictures: Pictures) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[n, width] of the second judge."""
    rows = [judge.features(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
    return torch.cat(rows).double().numpy()


def said(figures: Any) -> Any:
    """As JSON."""
    if isinstance(figures, Figure):
        return {k: round(v, 4) if v is not None else v for k, v in figures.as_dict().items()}
    return {name: said(each) for name, each in figures.items()}


def main() -> None:
    """Draw, look and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=SAMPLE / "kolors-small")
    parser.add_argument("--captions", type=int, default=500)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--sheet", type=Path, help="draw true pictures and ours in pairs there")
    options = parser.parse_args()
    if options.captions < 2 * BLOCKS:
        parser.error(f"--captions {options.captions} are too few for KID; give {2 * BLOCKS}")
    pipeline = KolorsPipeline.from_pretrained(options.model, dtype=torch.float32)
    annotator = BoxAnnotator.from_pretrained(str(SAMPLE / "qwen2-vl-small"), device="cpu")
    judges = Judges(annotator, Detector.from_pretrained(SAMPLE / "judge-small"))
    views = [generator_view("test", 0, index) for index in range(options.captions)]
    true = [draw_small(view) for view in views]
    rebuilt = rebuild(pipeline, views)
    sides = [side_view(index) for index in range(options.captions)]
    drawn, sided = (
        list(
            draw_captions(
                pipeline,
                [view.situation.caption for view in each],
                seed,
                options.steps,
                options.guidance,
            )
        )
        for seed, each in enumerate((views, sides))
    )
    if options.sheet:
        pairs = zip(true[:SHOWN], drawn[:SHOWN], strict=True)
        draw_sheet([each for pair in pairs for each in pair], []).save(options.sheet, quality=88)
        print([view.situation.caption for view in views[:SHOWN]])
    present = {
        name: {who: presence(views, found) for who, found in judges.look(pictures, views).items()}
        for name, pictures in {"true": true, "rebuilt": rebuilt, "drawn": drawn}.items()
    }
    placed = {
        name: {who: placing(sides, found) for who, found in judges.look(pictures, sides).items()}
        for name, pictures in {"rebuilt": rebuild(pipeline, sides), "drawn": sided}.items()
    }
    others = [draw_small(generator_view("test", 2, index)) for index in range(options.captions)]
    real = features(judges.detector, others)
    distances = {
        name: kid(features(judges.detector, pictures), real)
        for name, pictures in {"true": true, "rebuilt": rebuilt, "drawn": drawn}.items()
    }
    bars = {}
    for who, shares in present["drawn"].items():
        bars[f"{who}: single things of 0.90"] = (shares["single"].value or 0) >= 0.90
        bars[f"{who}: all named things of 0.85"] = (shares["named"].value or 0) >= 0.85
        bars[f"{who}: all named things of 0.70, without a GPU"] = (
            shares["named"].value or 0
        ) >= 0.70
    report(
        "generator",
        {"captions": len(views), "present": said(present), "position": said(placed),
         "kid": said(distances)},
        bars,
    )  # fmt: skip


if __name__ == "__main__":
    main()
