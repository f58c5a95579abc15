"""Queries over downloads and images."""

import pytest

from spatialgen.statistics import wilson
from tests.queries.conftest import Ask


def test_download_hosts(ask: Ask) -> None:
    rows = ask("download_hosts")
    assert [(*row[:5], row[7]) for row in rows] == [
        ("a.cn", 3, 3, 0, 1, None),
        ("b.cn", 3, 2, 0, 0.6667, "gone"),
        ("c.cn", 1, 0, 1, 0, "timeout"),
    ]
    for (_, urls, ok, _, _, lo, hi, _), expected in zip(
        rows, (wilson(3, 3), wilson(2, 3), wilson(0, 1)), strict=True
    ):
        assert (expected.n, expected.value) == (urls, int(str(ok)) / int(str(urls)))
        assert (lo, hi) == pytest.approx((expected.lo, expected.hi), abs=1e-4)
    assert len(ask("download_hosts", limit=1)) == 1


def test_download_reasons(ask: Ask) -> None:
    assert ask("download_reasons") == [
        ("ok", "ok", 5, 0.7143, 2, 200, "http://x.cn/1"),
        ("permanent", "gone", 1, 0.1429, 1, 404, "http://x.cn/6"),
        ("transient", "timeout", 1, 0.1429, 1, None, "http://x.cn/7"),
    ]


def test_picture_sizes(ask: Ask) -> None:
    assert ask("picture_sizes") == [
        ("all", 4, 140, 35_000, 11_500, 25_000, 72_500, 100, 300, 480, 1.04),
        ("jpeg", 3, 60, 20_000, 11_000, 20_000, 29_000, 300, 480, 480, 1.06),
        ("png", 1, 80, 80_000, 80_000, 80_000, 80_000, 100, 100, 100, 1),
    ]


def test_placeholders(ask: Ask) -> None:
    expected = ("a", 2, 2, 640, 480, 10_000_000, "猫在狗的左边", "草地上有一只猫")
    assert ask("placeholders") == [expected]
    assert ask("placeholders", least=3) == []


def test_near_duplicates(ask: Ask) -> None:
    assert ask("near_duplicates") == [(2, "a", "b", 1, "640x480", "640x480")]
    assert ask("near_duplicates", distance=1) == []
