"""What `caption_mix` draws from: rule-labelled real captions, and a dictionary's words by use."""

import importlib.util
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatialgen.sample.mix.lexicon import LEXICAL
from spatialgen.sample.mix.spatial_rules import kind_of_noun, label_caption
from spatialgen.sample.world.classes import SpatialType

Sample = tuple[str, SpatialType]
POSITION_CHARACTERS = "上下左右前后中里内外旁边角顶底背间围侧"
HARMLESS = ("unknown", "abstract", "thing", "animate", "bare", "body")


@dataclass(frozen=True)
class Words:
    """Words of a frequency dictionary by use: drawable nouns, fillers, and hard negatives."""

    nouns: list[str]
    fillers: list[str]
    weights: list[float]  # of the fillers
    hard: list[str]  # hold a position character and mean none
    hard_weights: list[float]
    verbs: list[str]


def load_words(names: Sequence[str] = ()) -> Words:
    """Jieba's dictionary, sorted by use; `names` are further drawable nouns."""
    found = importlib.util.find_spec("jieba")  # its word list is all that is used
    assert found is not None
    assert found.origin is not None
    nouns, fillers, weights, hard, hard_weights, verbs = list(names), [], [], [], [], []
    path = Path(found.origin).with_name("dict.txt")
    for line in path.read_text(encoding="utf-8").splitlines():
        word, count, tag = line.split(" ")
        if not 2 <= len(word) <= 5 or int(count) < 10:
            continue
        has_position = any(character in POSITION_CHARACTERS for character in word)
        if has_position and tag not in ("s", "f") and kind_of_noun(word) in HARMLESS:
            if label_caption(word) == "none":
                hard.append(word)
                hard_weights.append(int(count) ** 0.4)
        elif not has_position and tag[0] in "nvatib":
            fillers.append(word)
            weights.append(int(count) ** 0.5)
        if tag == "v" and len(word) == 2 and not has_position and int(count) >= 200:
            verbs.append(word)
        if tag == "n" and not has_position and len(word) <= 3 and kind_of_noun(word) == "thing":
            nouns.append(word)
    hard += LEXICAL
    hard_weights += [30.0] * len(LEXICAL)
    return Words(nouns, fillers, weights, hard, hard_weights, verbs)


def read_captions(path: Path, excluded: Iterable[str] = ()) -> list[Sample]:
    """Captions of `path` (id, tab, caption) without near copies of `excluded`, rule-labelled."""
    from difflib import SequenceMatcher

    banned = [_letters(caption) for caption in excluded]
    kept: list[Sample] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        caption = line.split("\t")[-1].strip()
        letters = _letters(caption)
        if not letters:
            continue
        for other in banned:
            match = SequenceMatcher(None, letters, other, autojunk=False)
            if match.real_quick_ratio() > 0.8 and match.quick_ratio() > 0.8 and match.ratio() > 0.8:
                break
        else:
            kept.append((caption, label_caption(caption)))
    return kept


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def read_names(path: Path) -> list[str]:
    """Chinese names (`zh`) of the sprites in an emoji index.json that a box can be drawn around."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return [entry["zh"] for entry in entries if kind_of_noun(entry["zh"]) in ("thing", "unknown")]
