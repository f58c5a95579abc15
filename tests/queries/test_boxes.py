"""Queries over boxes."""

from tests.queries.conftest import Ask


def test_agreement(ask: Ask) -> None:
    assert ask("agreement") == [
        ("left", 3, 3, 0.6667, 1, 2),
        ("on", 1, 0, None, 0, None),
        ("top_part", 1, 1, 1, 0, None),
    ]


def test_relation_pairs(ask: Ask) -> None:
    assert ask("relation_pairs") == [
        ("left", "猫", "狗", 2, 1, 2, 0.5, 1),
        ("left", "狗", "猫", 1, 2, 1, 1, 3),
        ("on", "猫", "草地", 1, 0, 0, None, 4),
        ("top_part", "狗", "", 1, 0, 1, 1, 3),
    ]
    assert [row[0] for row in ask("relation_pairs", relation="on")] == ["on"]


def test_box_names(ask: Ask) -> None:
    assert ask("box_names") == [
        ("猫", 3, 3, 1, 0.25, 0.25),
        ("狗", 3, 4, 0, 0, 0.354),
        ("草地", 1, 1, 1, 0.5, 1),
    ]
    assert len(ask("box_names", limit=1)) == 1


def test_name_pairs(ask: Ask) -> None:
    """Three rows have boxes: 猫 and 狗 are in all of them, 草地 is in one."""
    assert ask("name_pairs", least=1) == [
        ("狗", "猫", 3, 1, 0.667, 1),
        ("狗", "草地", 1, 1, 1, 3),
        ("猫", "草地", 1, 1, 1, 3),
    ]
    assert [row[:2] for row in ask("name_pairs", least=2)] == [("狗", "猫")]
    assert ask("name_pairs") == []


def test_box_overlaps(ask: Ask) -> None:
    """In one of three rows a box of 狗 is twice as high as that of 猫, and holds it."""
    assert ask("box_overlaps", least=3) == [("狗", "猫", 3, 1, 0.333, 2)]
    assert ask("box_overlaps", least=3, iou=0.51) == []
    assert ask("box_overlaps") == []


def test_box_sizes(ask: Ask) -> None:
    assert ask("box_sizes") == [
        (0.2, 3, 0.375, 0.125, 0.375, 1, 0),
        (0.3, 4, 0.5, 0.594, 0.406, 1, 0),
        (0.9, 1, 0.125, 0.5, 0.5, 1, 1),
    ]


def test_boxes_per_image(ask: Ask) -> None:
    assert ask("boxes_per_image") == [
        (0, 2, 0.4, None, 4),
        (2, 1, 0.2, 1, 1),
        (3, 2, 0.4, 0.5, 2),
    ]


def test_box_problems(ask: Ask) -> None:
    assert ask("box_problems") == [
        ("disagree", "left", 1, 0.2, 2),
        ("error", "unreadable", 1, 0.2, 5),
        ("problem", "duplicate", 1, 0.2, 2),
    ]


def test_self_agreement(ask: Ask) -> None:
    assert ask("self_agreement") == [
        (0, 2, 1, 0.5),
        (0.3, 2, 1, 0.5),
        (0.5, 2, 1, 0.5),
        (0.7, 1, 0.5, 1),
        (0.8, 1, 0.5, 1),
        (0.9, 1, 0.5, 1),
    ]
