"""A caption's words, each with the part it plays in saying where things are.

Words and their classes are jieba's (a dictionary and a hidden Markov model), in a segmenter of our
own, so that nobody else's dictionary changes what is read.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from spatialgen.relations.words import (
    AND,
    AT,
    BODY,
    HAVE,
    LOCALISERS,
    NOT,
    OF,
    PICTURE,
    PLACING,
    SURROUND,
    UNDRAWN,
)

# noun, body part, picture, of, at, localiser, have, surround, verb, aspect, and, measure, modifier,
# not, other
Part = Literal["N", "B", "W", "D", "P", "L", "H", "S", "V", "Z", "C", "M", "A", "X", "O"]
FUNCTION_WORDS: tuple[tuple[frozenset[str], Part], ...] = (
    (OF, "D"), (AT, "P"), (HAVE, "H"), (AND, "C"), (NOT, "X"),
)  # fmt: skip
CLAUSE = re.compile(r"[,，。.!！?？;；:：|_【】\[\]()（）\"“”《》…~\n]+")
GAPS = re.compile(r"(?<=[^\x00-\x7f])\s+(?=[^\x00-\x7f])")
COLOUR = re.compile(r".*[色白黑红黄蓝绿]$")
COUNTED = re.compile(
    r"[一二两三四五六七八九十几数多][个只条头匹位名群辆张把座棵件架艘块对双盘杯瓶本盏幅家顶颗支根台束串堆排扇朵片]"
)
FREQUENT = 500  # in the dictionary's corpus
PLAIN = re.compile(
    r"[^\W\da-zA-Z左右上下前后旁边侧间中央里内外围角顶底背对面一二两三四五六七八九十]{1,3}"
)
LONGEST = 512  # characters that are read: a caption is shorter
# Words that the dictionary lacks or cuts elsewhere (大海里 as 大 海里).
WORDS = ("大海", "公交车", "消防栓", "冲浪板", "滑雪板", "红绿灯", "笔记本电脑", "泰迪熊", "甜甜圈")


@dataclass(frozen=True)
class Token:
    """A word and its part."""

    text: str
    part: Part


@cache
def _segmenter() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its old idioms are no news to users
        import jieba
        import jieba.posseg
    jieba.setLogLevel(logging.WARNING)
    dictionary = jieba.Tokenizer()
    dictionary.initialize()
    for word in WORDS:
        dictionary.add_word(word, freq=10_000, tag="n")
    return jieba.posseg.POSTokenizer(dictionary)


@cache
def common_nouns() -> tuple[str, ...]:
    """The dictionary's frequent nouns of at most three characters, none of which counts or says
    where; in the order of their characters."""
    segmenter = _segmenter()
    return tuple(
        sorted(
            word
            for word, flag in segmenter.word_tag_tab.items()
            if flag == "n" and segmenter.tokenizer.FREQ.get(word, 0) >= FREQUENT
            if PLAIN.fullmatch(word)
        )
    )


def segment(caption: str) -> list[list[Token]]:
    """The words of each clause."""
    text = GAPS.sub("", caption[:LONGEST].strip())
    clauses = ([*_tokens(clause)] for clause in CLAUSE.split(text) if clause.strip())
    return [clause for clause in clauses if clause]


def _tokens(clause: str) -> Iterator[Token]:
    held = counted = False
    for pair in _segmenter().cut(clause):
        for token in _classify(pair.word, pair.flag) if pair.word.strip() else ():
            body = token.text in BODY
            if body or (held and token.part == "L"):  # 手里: a position word after one is none
                token = Token(token.text, "B" if body else "O")
            if token.text == "把" and counted:
                token = Token("一把", "M")  # 三 把 椅子, but not 把椅子放在
            yield token
            held, counted = body, token.part == "M"


def _classify(word: str, flag: str) -> Iterator[Token]:
    """The word as tokens: where the dictionary joins a localiser or 在 to its neighbour, two."""
    if (part := _function_word(word)) is not None:
        yield Token(word, part)
    elif len(word) > 2 and flag[0] in "nm" and COUNTED.match(word):  # 一个男孩, as one word
        yield from (Token(word[:2], "M"), Token(word[2:], "N"))
    elif len(word) == 2 and flag == "v" and word[0] in LOCALISERS and word[1] in PLACING:  # 上放
        yield from (Token(word[0], "L"), Token(word[1], "V"))
    elif len(word) > 1 and word[0] in LOCALISERS and word[1:] in HAVE:  # 上有
        yield from (Token(word[0], "L"), Token(word[1:], "H"))
    elif len(word) > 1 and word[-1] in AT:  # 坐在
        verb: Part = "S" if word.startswith(SURROUND) else "V"
        yield from (Token(word[:-1], verb), Token(word[-1], "P"))
    elif len(word) > 1 and flag[0] in "nsfv" and word[-1] in "上里内" and _is_noun(word[:-1]):
        yield from (Token(word[:-1], "N"), Token(word[-1], "L"))  # 床上
    else:
        yield Token(word, _content_word(word, flag))


def _function_word(word: str) -> Part | None:
    if word in LOCALISERS:
        return "L"
    if word in PICTURE:
        return "W"
    return next((part for words, part in FUNCTION_WORDS if word in words), None)


def _content_word(word: str, flag: str) -> Part:
    if word.startswith(SURROUND) and flag[0] == "v":
        return "S"
    if flag[0] in "ns" and word not in UNDRAWN:
        return "A" if COLOUR.fullmatch(word) else "N"
    if flag[0] in "mq":
        return "M"
    if flag.startswith("u"):
        return "Z"
    if flag[0] == "v":
        return "V"
    return "A" if flag[0] in "abzint" else "O"


def _is_noun(word: str) -> bool:
    """Whether the dictionary knows the word as a noun."""
    return str(_segmenter().word_tag_tab.get(word, "")).startswith("n") and word not in UNDRAWN
