"""The forms of a set outside the lake. Light, so that the command line can name them."""

from enum import StrEnum


class Form(StrEnum):
    """How a folder says what is in its pictures."""

    jsonl = "jsonl"
    coco = "coco"


class Unit(StrEnum):
    """What a bbox [x1, y1, x2, y2] counts in."""

    unit = "unit"  # 0..1 of the picture
    thousandths = "thousandths"  # 0..1000 of the picture, as Qwen2-VL writes
    pixels = "pixels"  # of the stored picture
