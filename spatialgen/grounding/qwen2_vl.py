"""Qwen2-VL's way to write boxes: asked with names, it answers with marked names and boxes.

    <|object_ref_start|>小猫<|object_ref_end|><|box_start|>(102,430),(418,805)<|box_end|>

Coordinates are thousandths of the picture's width and height, whatever its size (Qwen2-VL report,
arXiv:2409.12191, section 2; QwenLM/Qwen3-VL issue 866). Several boxes behind a name are several
instances; a name with ABSENT behind it is not in the picture.
"""

import re
from collections.abc import Mapping, Sequence

ABSENT = "无"
SCALE = 1000
# A name is short and holds no mark; a number has few digits. So no text takes long to read.
NAME = re.compile(r"<\|object_ref_start\|>([^<]{0,64})<\|object_ref_end\|>")
NUMBER = r"\s*(-?\d{1,6}(?:\.\d{1,3})?)\s*"
BOX = re.compile(
    rf"<\|box_start\|>\s*\({NUMBER},{NUMBER}\)\s*,\s*\({NUMBER},{NUMBER}\)\s*<\|box_end\|>"
)

BBox = Sequence[float]  # [x1, y1, x2, y2] in [0, 1]


def ask(prompt: str, names: Sequence[str]) -> str:
    """The prompt, with the names in place of {names}."""
    return prompt.replace("{names}", "、".join(names))


def write_answer(objects: Mapping[str, Sequence[BBox]]) -> str:
    """The right answer to a question for these names; a name without boxes is absent."""
    return "".join(
        f"<|object_ref_start|>{name}<|object_ref_end|>"
        + ("".join(write_box(bbox) for bbox in boxes) or ABSENT)
        for name, boxes in objects.items()
    )


def write_box(bbox: BBox) -> str:
    """A box in thousandths, at most 999 as the model's convention has it."""
    x1, y1, x2, y2 = (min(SCALE - 1, max(0, round(side * SCALE))) for side in bbox)
    return f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"


def read_answer(text: str) -> dict[str, list[list[float]]]:
    """Boxes by name, in the answer's order; what is no box of positive area is skipped."""
    objects: dict[str, list[list[float]]] = {}
    for name, bbox in read_mentions(text):
        boxes = objects.setdefault(name, [])
        if bbox:
            x1, y1, x2, y2 = (min(1.0, max(0.0, side)) for side in bbox)
            if x1 < x2 and y1 < y2:
                boxes.append([x1, y1, x2, y2])
    objects.pop("", None)  # a box before any name
    return objects


def read_mentions(text: str) -> list[tuple[str, list[float] | None]]:
    """Each (name, box) as it is written, in the answer's order: None for a name without a box, []
    for a box that cannot be made out, '' for a box without a name."""
    found: list[tuple[str, list[float] | None]] = []
    marks = list(NAME.finditer(text))
    starts = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    names = ["", *(mark.group(1).strip() for mark in marks)]
    for name, start, end in zip(names, starts, ends, strict=True):
        boxes: list[list[float] | None] = [
            [float(side) / SCALE for side in box.groups()] for box in BOX.finditer(text, start, end)
        ]
        if name and not boxes:
            boxes = [[] if "<|box_start|>" in text[start:end] else None]
        found += [(name, box) for box in boxes]
    return found
