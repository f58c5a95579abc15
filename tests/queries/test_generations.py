"""Queries over what the generator painted."""

from tests.queries.conftest import Ask


def test_generations(ask: Ask) -> None:
    """Where nothing was asked, no share is known; sweeps stand last."""
    assert ask("generations") == [
        ("off", "annotator", 1, 1, 1, 0, 2, 0, 0.2, 0.5, 0.25),
        ("off", "detector", 1, 1, 1, 0, 2, 0, 0.2, 0.5, 0.25),
        ("on", "annotator", 4, 3, 3, 1, 8, 0.75, 0.65, 0.875, 1),
        ("on", "detector", 4, 3, 3, 0.6667, 6, 0.6667, 0.6, 0.8333, 1),
        ("reconstruction", "annotator", 1, 1, 0, None, 2, 1, 0.8, 1, 0),
        ("reconstruction", "detector", 1, 1, 0, None, 0, None, None, None, 0),
        ("on@scale=2", "annotator", 1, 1, 1, 1, 2, 1, 0.8, 1, 0.5),
        ("on@scale=2", "detector", 1, 1, 1, 1, 2, 1, 0.8, 1, 0.5),
    ]


def test_weak_relations(ask: Ask) -> None:
    """Row 3 states two kinds, which a verdict does not tell apart; row 4's the detector does not
    know."""
    assert ask("weak_relations", least=1) == [
        ("on", "annotator", 1, 0, 1, 0, 1, 4),
        ("left", "detector", 1, 1, 2, 0.5, 1, 1),
        ("left", "annotator", 1, 1, 2, 1, 0, None),
        ("on", "detector", 1, 0, 0, None, 0, None),
    ]
    assert [row[:6] for row in ask("weak_relations", least=0, condition="off")] == [
        ("left", "annotator", 1, 0, 1, 0),
        ("left", "detector", 1, 0, 1, 0),
    ]
    assert ask("weak_relations") == []
