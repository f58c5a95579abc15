"""What differs between the families of Qwen's vision-language models: the one place that knows.

| model_type     | answer                                  | coordinates                     |
|----------------|-----------------------------------------|---------------------------------|
| qwen2_vl       | <|object_ref_start|>..<|box_start|>(..) | thousandths of the picture      |
| qwen2_5_vl     | JSON, bbox_2d and label                 | pixels of the resized picture   |
| qwen3_vl(_moe) | JSON, bbox_2d and label                 | thousandths of the picture      |

Sources: Qwen2-VL report (arXiv:2409.12191, section 2), Qwen2.5-VL report (arXiv:2502.13923,
section 2.1.2), and the maintainers' answers in QwenLM/Qwen3-VL issues 676, 866 and 1486.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from spatialgen.errors import InputError
from spatialgen.grounding import qwen2_vl

Mention = tuple[str, list[float] | None]
"""A name ('' where there is none) and its box as written, in [0, 1] if the model kept to the rules;
None: said to be absent; []: there is something, but no box can be made out."""

THOUSANDTHS = 1000
NOTHING: tuple[Any, ...] = (None, [], "", "无", "没有", "null")
ABSENT_ALL = re.compile(
    r"(?:图中|图片中|画面中)?(?:无|没有|都没有|均无|不存在)[^，,；;]{0,20}[。.]?|\[\]|null|None"
)
ITEM = re.compile(r"\{[^{}]{0,2000}\}")  # one JSON object without others inside
JSON_FORM = (
    '请以JSON格式输出，每个实例一项：[{"bbox_2d": [x1, y1, x2, y2], "label": "名称"}]；'
    '图中没有的写{"bbox_2d": null, "label": "名称"}。'
)


@dataclass(frozen=True)
class Family:
    """How one family is asked, and how its answers are read.

    `read(text, width, height)` gives what a text mentions, in order, of a picture that the model
    saw at this size in pixels. It reads any text.
    """

    form: str  # added to the prompt: how the answer is to be written
    read: Callable[[str, int, int], list[Mention]]


def _read_marks(text: str, width: int, height: int) -> list[Mention]:
    return qwen2_vl.read_mentions(text)


def _read_pixels(text: str, width: int, height: int) -> list[Mention]:
    return [*_read_items(text, width, height)]


def _read_thousandths(text: str, width: int, height: int) -> list[Mention]:
    return [*_read_items(text, THOUSANDTHS, THOUSANDTHS)]


def _read_items(text: str, width: int, height: int) -> Iterator[Mention]:
    """The items of a JSON list, whole or cut off, in a code block or bare."""
    for match in ITEM.finditer(text):
        try:
            item = json.loads(match[0])
        except (ValueError, RecursionError):
            continue
        name = str(item.get("label") or item.get("name") or "").strip()
        written = item.get("bbox_2d", item.get("bbox"))
        if written in NOTHING:
            yield name, None
        elif isinstance(written, list) and all(isinstance(each, list) for each in written):
            yield from ((name, _scaled(each, width, height)) for each in written)
        else:
            yield name, _scaled(written, width, height)


def _scaled(box: Any, width: int, height: int) -> list[float]:
    """[] where it is no box of four numbers."""
    try:
        sides = [float(side) for side in box if not isinstance(side, bool)]
    except (TypeError, ValueError):
        return []
    if len(sides) != 4 or not all(abs(side) < 1e9 for side in sides):
        return []
    return [side / size for side, size in zip(sides, (width, height) * 2, strict=True)]


def says_nothing(text: str) -> bool:
    """Whether a whole answer says that nothing asked for is there: 无, [], 图中没有小猫."""
    return bool(ABSENT_ALL.fullmatch(re.sub(r"<\|[^<>|]{1,30}\|>|```(?:json)?|\s", "", text)))


FAMILIES = {
    "qwen2_vl": Family("", _read_marks),
    "qwen2_5_vl": Family(JSON_FORM, _read_pixels),
    "qwen3_vl": Family(JSON_FORM, _read_thousandths),
    "qwen3_vl_moe": Family(JSON_FORM, _read_thousandths),
}


def family_of(model_type: str) -> Family:
    """The family of a checkpoint, by its config's model_type; InputError for one without boxes."""
    if model_type not in FAMILIES:
        raise InputError(
            f"model_type {model_type} is none whose boxes can be read ({', '.join(FAMILIES)}); "
            "give a Qwen2-VL, Qwen2.5-VL or Qwen3-VL checkpoint"
        )
    return FAMILIES[model_type]
