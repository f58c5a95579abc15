"""Queries over several stages: what becomes of the rows, what trains, what it costs."""

from datetime import timedelta

from spatialgen.lake.lake import Lake
from spatialgen.metrics import write_metrics
from tests.conftest import REPOSITORY
from tests.queries.conftest import COUNTS, START, Ask


def test_funnel(ask: Ask) -> None:
    rows = ask("funnel")
    assert [row[1] for row in rows] == [40, 3, 25, 2, 10, 5, 2, 7, 5, 5, 3, 2, 3]
    shares = [1, 0.075, 0.625, 0.05, 0.25, 0.125, 0.05, 0.175, 0.125, 0.125, 0.075, 0.05, 0.075]
    assert [row[2] for row in rows] == shares


def test_funnel_ends_where_the_pipeline_has_come_to(lake: Lake) -> None:
    write_metrics("candidates", COUNTS, lake.root.parent / "metrics")
    text = (REPOSITORY / "queries" / "funnel.sql").read_text(encoding="utf-8")
    assert lake.sql(text)["step"].to_pylist()[-1] == "candidates"


def test_splits(ask: Ask) -> None:
    assert ask("splits") == [
        ("train", 3, 0.6, 2, 1, 3, 0.6667, 0.5),
        ("val", 1, 0.2, 1, 1, 1, 1, 1),
        ("test", 1, 0.2, 1, 1, 1, 1, None),
    ]


def test_trainable(ask: Ask) -> None:
    assert ask("trainable") == [
        ("strong", "train", 2, 1, 0.5, 1, 0, 1, 0),
        ("strong", "val", 1, 1, 1, 1, 0, 0, 0),
        ("strong", "test", 1, 0, 0, 0, 0, 0, 1),
        ("strong", "all", 4, 2, 0.5, 2, 0, 1, 1),
        ("weak", "train", 1, 1, 1, 0, 1, 0, 0),
        ("weak", "all", 1, 1, 1, 0, 1, 0, 0),
        ("all", "all", 5, 3, 0.6, 2, 1, 1, 1),
    ]


def test_runs(ask: Ask) -> None:
    newest, second = ask("runs", limit=2)
    assert newest == ("annotate", START + timedelta(hours=4), 20, 5, 0, 5, 1, 0)
    assert second[:2] == ("download", START + timedelta(hours=3))
    assert ask("runs")[2][3:6] == (3610, 1, 0), "a run that computed nothing"


def test_stage_costs(ask: Ask) -> None:
    """The second run of filter reused 3,610 rows, worth a second each; it computed none."""
    assert ask("stage_costs") == [
        ("annotate", 1, 20, 5, 0, 4000, 0.8, 0.25, 0),
        ("download", 1, 14, 7, 0, 2000, 0.5, 0, 0),
        ("filter", 2, 10, 9, 3610, 1000, 0.667, 0, 1),
        ("candidates", 1, 2, 40, 0, 50, None, None, 0),
    ]


def test_filter_first(ask: Ask) -> None:
    """40 records at 2 s, or 7 at 2 s after 40 x 0.05 s and nine distinct captions at 1 s."""
    assert ask("filter_first") == [
        ("download everything", 40, 0.8, 80, 0, 0),
        ("judge first", 7, 0.14, 25, 0.825, 0.6875),
    ]
