"""Checks: their headers, what each shipped one finds, and what is written."""

import csv
import json
import subprocess

import pytest

from spatialgen.checks import (
    read_checks,
    require_passed,
    run_checks,
    write_outcomes,
    write_passed,
)
from spatialgen.errors import CheckError, InputError, QueryError
from spatialgen.params import load_params
from spatialgen.report.checks import sample_offenders
from tests.conftest import REPOSITORY
from tests.tables import CAT, SHA, boxes, caption, download, figures, image, make_lake, sound, split

PARAMS = load_params(REPOSITORY / "params.yaml", {"split.val": 0, "download.min_side": 100})
SHIPPED = {check.name: check for check in read_checks(REPOSITORY / "queries" / "checks")}


def outcomes(folder, rows=None, metrics=None, names=SHIPPED, params=PARAMS):
    lake = make_lake(folder, rows or sound(), metrics or figures())
    found = run_checks(lake, [SHIPPED[name] for name in names], params)
    return {outcome.check.name: outcome for outcome in found}


def written(folder, text, name="mine"):
    (folder / "checks").mkdir(exist_ok=True)
    (folder / "checks" / f"{name}.sql").write_text(text, encoding="utf-8")
    return read_checks(folder / "checks")


def test_all_pass_where_nothing_is_wrong(tmp_path):
    states = {name: found.state for name, found in outcomes(tmp_path).items()}
    assert states == dict.fromkeys(SHIPPED, "passed")


def breaks():
    """Of each shipped check: what to change in sound() and figures(), and the number found."""
    outside = CAT | {"bbox": [0.5, 0.5, 1.1, 0.6]}
    empty = CAT | {"bbox": [0.5, 0.5, 0.5, 0.6]}
    odd = CAT | {"bbox": [float("nan"), 0.1, 0.2, 0.6]}
    dead = {"sha256": None, "status": "permanent", "reason": "gone"}
    passing = {"sha256": None, "status": "transient", "reason": "timeout"}
    failed = {"spatial_type": None, "error": "too_long", "p_strong": None, "p_weak": None}
    return {
        "spatial_share": ({}, {"filter": {"spatial_share": {"value": 0.59}}}, 0.59),
        "box_iou": ({}, {"annotate": {"truth": {"mean_iou_misses_0": {"value": 0.8}}}}, 0.8),
        "boxes_inside": ({"boxes": [boxes(1, objects=[outside, CAT, empty, odd])]}, {}, 3),
        "duplicate_rows": (
            {"splits": [split(1, "train"), split(2, "test"), split(1, "val")]},
            {},
            1,
        ),
        "split_leakage": ({"images": [image(1, phash=7), image(2, phash=7)]}, {}, 1),
        "rows_add_up": ({"boxes": [boxes(1)], "images": [image(1)]}, {}, 2),
        "permanent_failures": (
            {"downloads": [download(1, **dead), download(2, **dead)]},
            {},
            1.0,
        ),
        "transient_failures": ({"downloads": [download(1), download(2, **passing)]}, {}, 0.5),
        "unjudged_captions": ({"captions": [caption(1, **failed), caption(2)]}, {}, 0.5),
        "unboxed_pictures": ({"boxes": [boxes(1), boxes(2, error="unreadable_answer")]}, {}, 0.5),
        "positions_hold": ({"boxes": [boxes(1), boxes(2, spatial_agree=False)]}, {}, 0.5),
        "splits_filled": ({"splits": [split(1, "test")]}, {}, 1),
        "values_in_range": (
            {
                "captions": [caption(1, p_weak=0.5), caption(2, spatial_type="sttrong")],
                "images": [image(1, height=99), image(2, sha256="2")],
                "splits": [split(1, "training")],
            },
            {},
            5,
        ),
    }


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {"class_drift"}))
def test_a_violation_is_found_and_counted(name, tmp_path):
    rows, metrics, value = breaks()[name]
    found = outcomes(tmp_path, sound() | rows, figures() | metrics, [name])[name]
    assert found.value == value
    assert found.state == ("warned" if SHIPPED[name].severity == "warn" else "failed")
    assert found.offenders.num_rows == (value if SHIPPED[name].kind == "rows" else 0)


def test_rows_of_one_picture_may_be_split_only_where_too_many_share_it(tmp_path):
    rows = sound() | {"images": [image(1, phash=7), image(2, phash=7)]}
    params = load_params(REPOSITORY / "params.yaml", {"split.max_group": 1})
    assert (
        outcomes(tmp_path, rows, names=["split_leakage"], params=params)["split_leakage"].state
        == "passed"
    )


def test_shares_are_compared_with_the_last_commit(tmp_path):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    make_lake(tmp_path, sound(), figures())
    (tmp_path / ".gitignore").write_text("*.lance\n.lake\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    assert outcomes(tmp_path, names=["class_drift"])["class_drift"].state == "passed"
    none = [caption(n, spatial_type="none") for n in (1, 2, 3, 4)]
    found = outcomes(tmp_path, sound() | {"captions": none}, names=["class_drift"])["class_drift"]
    assert found.state == "warned"
    assert [tuple(row.values()) for row in found.offenders.to_pylist()] == [
        ("lake/captions", "counts.spatial_type.none", 0.25, 1.0),
        ("lake/captions", "counts.spatial_type.strong", 0.5, 0.0),
        ("lake/captions", "counts.spatial_type.weak", 0.25, 0.0),
    ]


def test_what_cannot_be_measured_is_a_warning(tmp_path):
    rest = {"candidates": figures()["candidates"]}
    found = outcomes(tmp_path, metrics=rest, names=["spatial_share", "box_iou"])
    assert {outcome.state for outcome in found.values()} == {"warned"}
    assert "not measured" in found["spatial_share"].message
    require_passed(found.values())


def test_outcomes_are_written_and_a_failure_stops(tmp_path):
    rows = sound() | {"boxes": [boxes(1, objects=[CAT | {"bbox": [0, 0, 2, 1]}]), boxes(2)]}
    found = [*outcomes(tmp_path, rows, names=["boxes_inside", "duplicate_rows"]).values()]
    write_outcomes(found, tmp_path / "metrics")
    numbers = json.loads((tmp_path / "metrics" / "checks.json").read_text())
    assert numbers == {
        "passed": 1,
        "warned": 0,
        "failed": 1,
        "checks": {"boxes_inside": 1, "duplicate_rows": 0},
    }
    with (tmp_path / "metrics" / "offenders.csv").open(encoding="utf-8", newline="") as lines:
        (offender,) = csv.DictReader(lines)
    assert (offender["check"], offender["row_id"]) == ("boxes_inside", "1")
    assert json.loads(offender["row"])["bbox"] == [0, 0, 2, 1]
    with pytest.raises(CheckError, match="boxes_inside: 1 rows, at most 0 wanted"):
        require_passed(found)


def test_offenders_are_cut_but_counted(tmp_path):
    bad = [CAT | {"bbox": [0, 0, 2, 1 + n]} for n in range(30)]
    found = outcomes(tmp_path, sound() | {"boxes": [boxes(1, objects=bad)]}, names=["boxes_inside"])
    assert found["boxes_inside"].value == 30
    assert found["boxes_inside"].offenders.num_rows == PARAMS.check.offenders == 20


def test_a_check_named_in_warn_stops_nothing(tmp_path):
    params = load_params(REPOSITORY / "params.yaml", {"check.warn": ["splits_filled"]})
    rows = sound() | {"splits": [split(1, "test")]}
    found = outcomes(tmp_path, rows, names=["splits_filled"], params=params)
    assert found["splits_filled"].state == "warned"


def test_a_name_in_warn_that_is_no_check_is_an_error(tmp_path):
    params = load_params(REPOSITORY / "params.yaml", {"check.warn": ["split_filled"]})
    with pytest.raises(InputError, match=r"check\.warn names split_filled.*splits_filled"):
        outcomes(tmp_path, params=params)


def test_passed_digests_depend_on_no_check(tmp_path):
    lake = make_lake(tmp_path, sound())
    write_passed(lake)
    passed = json.loads((tmp_path / "lake" / "checks.ok").read_text())
    assert passed == {
        name: lake[name].manifest.digest for name in ("boxes", "captions", "images", "splits")
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- Q?\n-- kind = row\nselect 1", "kind: Input should be 'rows' or 'value'"),
        ("-- Q?\nselect 1", "kind: Field required"),
        ("-- Q?\n-- kind = value\nselect 1", "header: kind value takes min, max or both"),
        ("-- Q?\n-- kind = rows\n-- min = 1\nselect 1", "kind rows takes tolerated"),
        ("-- Q?\n-- kind = rows\n-- tollerated = 1\nselect 1", "'-- tollerated = 1' is no setting"),
        ("-- Q?\n-- kind = rows\n-- tolerated = -1\nselect 1", "tolerated: Input should be"),
        ("-- Q?\n-- kind = value\n-- min = nan\nselect 1", "min: Input should be a finite"),
        ("-- Q?\n-- kind = value\n-- min = 2\n-- max = 1\nselect 1", "min 2 is above max 1"),
        ("select 1", "question: the first line is no comment"),
        (
            "-- Q?\n-- kind = value\n-- min = 0\n-- max= 0.5\nselect 1",
            "'-- max= 0.5' is no setting",
        ),
        (
            "-- Q?\n-- kind = value\n-- min = 0\n-- max: 0.5\nselect 1",
            "'-- max: 0.5' is no setting",
        ),
        ("-- Q?\n-- kind = value\n-- max = 1\n-- max = 2\nselect 1", "'-- max = 2' is no setting"),
        ("-- Q?\n-- kind = rows\n-- name = x\nselect 1", "'-- name = x' is no setting"),
    ],
)
def test_a_wrong_header_is_explained(text, complaint, tmp_path):
    with pytest.raises(InputError, match=r"mine\.sql: ") as caught:
        written(tmp_path, text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- Q?\n-- kind = value\n-- min = 1\nselect 1, 2", "1 rows of 2 columns are no value"),
        ("-- Q?\n-- kind = value\n-- min = 1\nselect 'a'", "'a' is no number"),
        ("-- Q?\n-- kind = rows\nselect nothing from captions", "nothing"),
        ("-- Q?\n-- kind = rows\nselect 1; select 2", "it holds 2 statements"),
        ("-- Q?\n-- kind = rows\ndelete from captions", "the query"),
        ("-- Q?\n-- kind = value\n-- min = 1\nselect 1e400::double", "inf"),
        ("-- Q?\n-- kind = value\n-- min = 1\nselect true", "True is no number"),
        (
            "-- Q?\n-- kind = value\n-- max = 1\nselect $split_maxgroup",
            "did you mean $split_max_group",
        ),
    ],
)
def test_a_check_that_does_not_run_is_named(text, complaint, tmp_path):
    checks = written(tmp_path, text)
    with pytest.raises(QueryError, match="check mine: ") as caught:
        run_checks(make_lake(tmp_path, sound()), checks, PARAMS)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "value", "state"),
    [("1e-7", "4e-7", "failed"), ("0.1234567", "0.12345669", "passed"), ("5", "5", "passed")],
)
def test_the_exact_value_is_judged(limit, value, state, tmp_path):
    text = f"-- Q?\n-- kind = value\n-- max = {limit}\nselect {value}::double; -- exactly"
    (found,) = run_checks(make_lake(tmp_path, sound()), written(tmp_path, text), PARAMS)
    assert found.state == state


def test_any_offending_row_can_be_written_and_shown(tmp_path):
    text = """-- Q?
-- kind = rows
select 'text' as row_id, repeat('猫', 100000) as caption, 1 as n from range(3)"""
    found = run_checks(make_lake(tmp_path, sound()), written(tmp_path, text), PARAMS)
    write_outcomes(found, tmp_path / "metrics")
    assert [len(rows) for rows in sample_offenders(tmp_path / "metrics", 5, 0).values()] == [3]


def test_no_checks_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.sql file"):
        read_checks(tmp_path)


def test_params_are_values_of_queries(tmp_path):
    text = "-- Q?\n-- kind = value\n-- max = 5\nselect $split_max_group + len($download_take)"
    (found,) = run_checks(make_lake(tmp_path, sound()), written(tmp_path, text), PARAMS)
    assert found.value == 102
    assert SHA[1] not in found.message
