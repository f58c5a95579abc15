"""COCO-MIG (Zhou et al., MIGC, arXiv:2402.05408): 800 prompts of two to six coloured things with
boxes, one picture of 512 x 512 pixels each.

    mig_bench.json       the suite's own records
    images/0000_769.png  the pictures of the record 769

eval_mig.py takes what is between the last "_" and the next "." of every file in images/ for the
record's key. MIGC's files call that key coco_id, which it is not. The second word of a label ("a
red teddy bear") is the colour that it looks for, the others behind it are the thing.
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.layouts import BBox, Layout, Placed
from spatialgen.suites.suite import (
    Prompt,
    Suite,
    blame,
    read_json,
    read_text,
    text_of,
    write_text,
)

BENCH, IMAGES = "mig_bench.json", "images"
SIDE = 512  # pixels
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "brown")
THINGS = range(2, 7)  # of a prompt
OUTSIDE = 0.01  # of the picture, by which a box may stick out before it counts as damaged
YAML = (".yaml", ".yml")


class CocoMig(Suite):
    """COCO-MIG's folder."""

    name = "coco_mig"
    samples = 1
    remedy = (
        "take mig_bench.json anew from where github.com/LeyRio/MIG_Bench says, or "
        "bench_file/mig_bench_anno.yaml of github.com/limuloo/MIGC"
    )

    def read(self, path: Path) -> list[Prompt]:
        """The prompts of mig_bench.json, or of MIGC's mig_bench_anno.yaml, with layouts; in the
        order of their numbers, which are the records' keys."""
        rows = _read_yaml(path, self.remedy) if path.suffix in YAML else _read(path, self.remedy)
        prompts = []
        for key, row in rows.items():
            with blame(f"{path}: record {key}", self.remedy):
                if not key.isdecimal() or str(int(key)) != key:
                    raise ValueError(f"its key is {key!r} and no number")
                text = text_of(row, "caption")
                prompts.append(Prompt(int(key), text, text, _layout(row["segment"]), row))
        return sorted(prompts, key=lambda prompt: prompt.number)

    def check(self, prompts: Sequence[Prompt]) -> None:
        """eval_mig.py divides by how many prompts have two things, three, and so on to six."""
        found = {len(prompt.layout) for prompt in prompts}
        if missing := sorted({*THINGS} - found):
            raise InputError(
                f"none of {len(prompts)} prompts has {missing[0]} things, and eval_mig.py fails "
                "without; take more prompts, in the file's own order"
            )

    def picture(self, prompt: Prompt, sample: int, samples: int) -> PurePosixPath:
        """images/0000_<key>.png"""
        return PurePosixPath(IMAGES, f"{sample:04}_{prompt.number}.png")

    def write(self, prompts: Sequence[Prompt], folder: Path) -> None:
        """mig_bench.json of these prompts."""
        rows = {str(prompt.number): prompt.row for prompt in prompts}
        write_text(folder / BENCH, json.dumps(rows))

    def fit(self, picture: Image.Image) -> Image.Image:
        """512 x 512 pixels; InputError for a picture that is not square."""
        if picture.width != picture.height:
            raise InputError(
                f"a picture of {picture.width} x {picture.height} pixels is not square, as "
                "COCO-MIG wants them; draw square ones"
            )
        if picture.width == SIDE:
            return picture
        return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)

    def command(self, folder: Path) -> str:
        """The evaluator."""
        bench, images = shlex.quote(str(folder / BENCH)), shlex.quote(str(folder / IMAGES))
        return (
            "python eval_mig.py --need_miou_score --need_instance_sucess_ratio "
            f"--metric_name spatialgen --file_path {bench} --image_dir {images}"
        )


def _read(path: Path, remedy: str) -> dict[str, Any]:
    rows = read_json(path, remedy)
    if not isinstance(rows, dict) or not rows:
        raise InputError(f"{path} is no object of numbered prompts; {remedy}")
    return rows


def _read_yaml(path: Path, remedy: str) -> dict[str, Any]:
    """MIGC's {prompt: {coco_id: key, label: [boxes]}} as the evaluator has it."""
    try:
        prompts = yaml.safe_load(read_text(path, remedy))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML ({error}); {remedy}") from None
    if not isinstance(prompts, dict) or not prompts:
        raise InputError(f"{path} holds no prompts; {remedy}")
    rows: dict[str, Any] = {}
    for text, things in prompts.items():
        with blame(f"{path}: prompt {text!r}", remedy):
            key = str(things["coco_id"])
            if key in rows:
                raise ValueError(f"its coco_id {key} is an earlier one's")
            segment = [
                {"bbox": box, "label": label}
                for label, boxes in things.items()
                if label != "coco_id"
                for box in boxes
            ]
            rows[key] = {"caption": text, "segment": segment}
    return rows


def _layout(segment: Sequence[Mapping[str, Any]]) -> Layout:
    """The boxes, each by its label without the article; ValueError where the evaluator could not
    read them."""
    if len(segment) not in THINGS:
        raise ValueError(f"it has {len(segment)} things and not 2 to 6")
    return tuple(Placed(_name(text_of(each, "label")), _bbox(each["bbox"])) for each in segment)


def _name(label: str) -> str:
    _, _, name = label.partition(" ")
    colour, _, thing = name.partition(" ")
    if colour not in COLOURS or not thing:
        raise ValueError(f"label {label!r} is not like 'a red teddy bear'")
    return name


def _bbox(box: Any) -> BBox:
    """[x1, y1, x2, y2], cut at the picture; ValueError for what is no box."""
    sides = [float(side) for side in box]
    inside = all(math.isfinite(side) and -OUTSIDE <= side <= 1 + OUTSIDE for side in sides)
    x1, y1, x2, y2 = (min(max(side, 0.0), 1.0) for side in sides)
    if not (inside and x1 < x2 and y1 < y2):
        raise ValueError(f"{box!r} is no [x1, y1, x2, y2] in 0..1")
    return x1, y1, x2, y2
