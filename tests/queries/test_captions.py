"""Queries over candidates, rejects and captions."""

import re

import pytest

from spatialgen.statistics import wilson
from tests.conftest import REPOSITORY
from tests.queries.conftest import Ask


def test_rejects(ask: Ask) -> None:
    assert ask("rejects") == [
        ("empty_url", 2, 0.6667, "0.csv", 7, ",左"),
        ("extra_column", 1, 0.3333, "0.csv", 9, "u,左,x"),
    ]


def test_duplicates(ask: Ask) -> None:
    assert ask("duplicates") == [("猫在狗的左边", 2, 1)]
    assert ask("duplicates", limit=0) == []


def test_relation_words(ask: Ask) -> None:
    rows = ask("relation_words")
    assert rows[:4] == [
        ("left", "左", 4, 0.4, "猫在狗的左边"),
        ("above", "上", 3, 0.3, "草地上有一只猫"),
        ("beside", "边", 3, 0.3, "猫在狗的左边"),
        ("in", "中", 1, 0.1, "中国制造"),
    ]
    assert rows[-1] == ("top", "顶", 0, 0, None), "a word that no caption holds"


def test_relation_words_and_words_by_class_look_for_the_same_words() -> None:
    both = [
        (REPOSITORY / "queries" / f"{name}.sql").read_text(encoding="utf-8")
        for name in ("relation_words", "words_by_class")
    ]
    sought = [re.findall(r"'([^' ]+)'\n +\) as words", text) for text in both]
    named = re.findall(r"\('\w+', '(.+?)'\)", both[0])
    assert sought[0] == sought[1]
    assert sorted(sought[0][0].split("|")) == sorted(named)


def test_words_by_class(ask: Ask) -> None:
    """Seven of nine judged captions are spatial, so a word of spatial ones alone lifts by 9/7."""
    assert ask("words_by_class") == [
        ("上", 3, 0.333, 0.333, 0.333, 0.86, "花瓶在桌子上"),
        ("左", 3, 1, 0, 0, 1.29, "猫在狗的左边"),
        ("边", 3, 1, 0, 0, 1.29, "猫在狗的左边"),
        ("中", 1, 0, 0, 1, 0, None),
        ("后", 1, 1, 0, 0, 1.29, "树后的房子"),
        ("里", 1, 0, 1, 0, 1.29, "海里的船"),
    ]


def test_class_shares(ask: Ask) -> None:
    rows = ask("class_shares")
    assert [row[:3] for row in rows] == [
        ("strong", 5, 0.5),
        ("none", 2, 0.2),
        ("weak", 2, 0.2),
        ("failed", 1, 0.1),
        ("spatial", 7, 0.7),
    ]
    for _, captions, _, lo, hi in rows:
        expected = wilson(int(str(captions)), 10)
        assert (lo, hi) == pytest.approx((expected.lo, expected.hi), abs=1e-4)


def test_probability_histogram(ask: Ask) -> None:
    rows = ask("probability_histogram", bins=4)
    assert [row[:3] for row in rows] == [(0, 2, 0.2222), (0.5, 1, 0.1111), (0.75, 6, 0.6667)]
    assert [str(row[3]).count("█") for row in rows] == [13, 6, 40]
    assert ask("probability_histogram", bins=1)[0][:3] == (0, 9, 1)


def test_uncertain(ask: Ask) -> None:
    assert ask("uncertain", limit=2) == [
        (0.7, 0.1, "weak", 1, "草地上有一只猫", 4),
        (0.2, 0.1, "none", 1, "手机上市", 8),
    ]
    (surest,) = ask("uncertain", threshold=0.95, limit=1)
    assert surest == (0.95, 0.9, "strong", 2, "猫在狗的左边", 1), "a caption, not each of its rows"


def test_failures(ask: Ask) -> None:
    assert ask("failures") == [("too_long", 1, 0.1, "too_long: 600 tokens", 10, "左右都有")]
