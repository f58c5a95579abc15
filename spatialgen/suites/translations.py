"""Prompts painted in another language than the evaluator reads: a row of its own beside the
suite's language, in every table.

A file of translations has a line per text, in one of two forms:

    .tsv    a photo of a bench<tab>一张长凳的照片
    .jsonl  {"text": "a photo of a bench", "translation": "一张长凳的照片"}

Where the suite gives boxes, the names of their things are texts as well: "red teddy bear".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spatialgen.errors import InputError
from spatialgen.suites.suite import Prompt, blame, read_text, text_of

REMEDY = "mend it: a line per text, TEXT<tab>TRANSLATION, or JSON with text and translation"


def translate(prompts: Sequence[Prompt], path: Path) -> list[Prompt]:
    """The prompts as they are painted by the file of translations; what the evaluator reads stays.
    InputError that names the first text without one."""
    known = read_translations(path)
    missing = [(text, p.number) for p in prompts for text in _texts(p) if text not in known]
    if missing:
        text, number = missing[0]
        raise InputError(
            f"{path} has no translation of {text!r}, in prompt {number}, nor of "
            f"{len({text for text, _ in missing}) - 1} other texts; add a line for each"
        )
    return [_translated(prompt, known) for prompt in prompts]


def read_translations(path: Path) -> dict[str, str]:
    """Each text's translation; InputError with the line that is none, or that contradicts one."""
    known: dict[str, str] = {}
    for number, line in enumerate(read_text(path, REMEDY).split("\n"), 1):
        with blame(f"{path}: line {number}", REMEDY):
            text, translation = _pair(line, json_lines=path.suffix == ".jsonl")
            if known.setdefault(text, translation) != translation:
                raise ValueError(f"{text!r} is {known[text]!r} before and {translation!r} here")
    return known


def _pair(line: str, *, json_lines: bool) -> tuple[str, str]:
    if json_lines:
        row = json.loads(line)
    else:
        row = dict(zip(("text", "translation"), line.split("\t"), strict=True))
    return text_of(row, "text"), text_of(row, "translation")


def _texts(prompt: Prompt) -> list[str]:
    """What of a prompt is painted."""
    return [prompt.original, *(each.name for each in prompt.layout)]


def _translated(prompt: Prompt, known: Mapping[str, str]) -> Prompt:
    layout = tuple(replace(each, name=known[each.name]) for each in prompt.layout)
    return replace(prompt, text=known[prompt.original], layout=layout)
