"""The prompt around a caption, as token ids: a prefix that all captions share, and a suffix.

Prefix, caption and suffix are tokenised apart, so that the prefix's keys and values are computed
once for all captions, and so that a caption is always text: what looks like a special token in it
(`<|im_end|>`) is spelled out in ordinary ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spatialgen.errors import InputError, ParamsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACEHOLDER = "{caption}"
PROBE = "桌子上有一个苹果"  # tokenised both ways to see that the seams change nothing


def read_prompt(path: Path) -> str:
    """The text of a prompt file, which holds `{caption}` once; raises InputError otherwise."""
    try:
        text = path.read_text(encoding="utf-8").strip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"filter.prompt = {path} cannot be read ({error}); give it a UTF-8 text file"
        ) from None
    if text.count(PLACEHOLDER) != 1:
        raise InputError(
            f"filter.prompt = {path} holds {PLACEHOLDER} {text.count(PLACEHOLDER)} times; "
            "write it exactly once, where the caption belongs"
        )
    return text


@dataclass(frozen=True)
class PromptTokens:
    """Token ids of a prompt: `prefix` + caption + `suffix`, after which comes one of `labels`."""

    prefix: list[int]
    suffix: list[int]
    labels: list[int]


def tokenise_prompt(
    tokenizer: "PreTrainedTokenizerBase", prompt: str, labels: Mapping[str, str]
) -> PromptTokens:
    """Tokenise `prompt` (with `{caption}`), inside the tokenizer's chat template if it has one.

    `labels` are the answers by class, each one token; raises ParamsError where one is not.
    """
    text = _in_chat_template(tokenizer, prompt)
    before, after = text.split(PLACEHOLDER)
    prefix, suffix = _encode(tokenizer, before), _encode(tokenizer, after)
    caption = _encode(tokenizer, PROBE)
    if _encode(tokenizer, before + PROBE + after) != prefix + caption + suffix:
        raise ParamsError(
            "filter.prompt: this tokenizer joins the caption to the text around it; put "
            f"{PLACEHOLDER} on a line of its own, and take a model with a byte-level tokenizer"
        )
    return PromptTokens(prefix, suffix, _label_tokens(tokenizer, labels, after))


def _in_chat_template(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> str:
    if not tokenizer.chat_template:
        return prompt
    try:
        text = str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
        )
    except Exception as error:  # a template is a program
        raise ParamsError(
            f"the model's chat template does not run ({' '.join(str(error).split())[:200]}); "
            "give filter.model a tokenizer whose template takes one user message"
        ) from None
    if text.count(PLACEHOLDER) != 1:
        raise ParamsError(
            f"the model's chat template shows the prompt {text.count(PLACEHOLDER)} times; give "
            "filter.model a tokenizer whose template shows a user message once"
        )
    return text


def _label_tokens(
    tokenizer: "PreTrainedTokenizerBase", labels: Mapping[str, str], after: str
) -> list[int]:
    """The token of each label where it stands, behind the prompt."""
    suffix, tokens = _encode(tokenizer, after), []
    for name, label in labels.items():
        ids = _encode(tokenizer, after + label)
        if ids[:-1] != suffix or ids[-1] == tokenizer.unk_token_id:
            pieces = tokenizer.convert_ids_to_tokens(_encode(tokenizer, label))
            raise ParamsError(
                f"filter.labels.{name} = {label!r} is not one token behind the prompt ({pieces}); "
                "choose a label that is, such as A, B or C"
            )
        tokens.append(ids[-1])
    if len(set(tokens)) < len(tokens):
        raise ParamsError(f"filter.labels = {dict(labels)} are not distinct; give each its own")
    return tokens


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))
