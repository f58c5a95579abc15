"""Stage check as its users drive it: what passes, what stops, and what a new check costs."""

import csv
import json

from tests.conftest import Project

TRAINS = """
  trains:
    cmd: echo trained >> trained.txt
    deps: [lake/checks.ok]
    outs: [trained.txt: {cache: false, persist: true}]
"""
NO_WEAK = """-- Is no caption weak?
-- kind = rows
{tolerated}select row_id from captions where spatial_type = 'weak'
"""


def test_what_passed_is_written(annotated: Project) -> None:
    passed = json.loads((annotated.root / "lake" / "checks.ok").read_text())
    manifests = {name: json.loads(annotated.manifest(name))["digest"] for name in passed}
    assert passed == manifests
    assert [*passed] == ["boxes", "captions", "images", "splits"]
    assert json.loads((annotated.root / "metrics" / "checks.json").read_text())["failed"] == 0


def test_a_violation_stops_before_training_and_a_new_check_trains_nothing(
    annotated: Project,
) -> None:
    dvc_yaml, check = annotated.root / "dvc.yaml", annotated.root / "queries/checks/no_weak.sql"
    text = dvc_yaml.read_text()
    dvc_yaml.write_text(text.replace("\nplots:\n", f"{TRAINS}\nplots:\n"))
    annotated.run("dvc", "repro", "trains")
    trained, passed = annotated.root / "trained.txt", annotated.root / "lake" / "checks.ok"
    before = passed.read_bytes()
    try:
        check.write_text(NO_WEAK.format(tolerated=""))
        done = annotated.run("dvc", "repro", "trains", check=False)
        assert done.returncode != 0
        assert "error: no_weak: " in done.stderr
        assert not passed.exists()
        numbers = json.loads((annotated.root / "metrics" / "checks.json").read_text())
        weak = annotated.number("select count(*) as n from captions where spatial_type = 'weak'")
        assert (numbers["failed"], numbers["checks"]["no_weak"]) == (1, weak)
        with (annotated.root / "metrics" / "offenders.csv").open(newline="") as lines:
            offenders = [row for row in csv.DictReader(lines) if row["check"] == "no_weak"]
        assert len(offenders) == min(weak, 20) > 0
        check.write_text(NO_WEAK.format(tolerated=f"-- tolerated = {weak}\n"))
        annotated.run("dvc", "repro", "trains")
        assert passed.read_bytes() == before
        assert trained.read_text() == "trained\n"
    finally:
        trained.unlink(missing_ok=True)
        annotated.back()


def test_an_experiment_may_let_a_check_warn(annotated: Project) -> None:
    check = annotated.root / "queries/checks/no_weak.sql"
    check.write_text(NO_WEAK.format(tolerated=""))
    try:
        done = annotated.run("dvc", "exp", "run", "check", "-S", "check.warn=[no_weak]")
        assert "check warned: no_weak" in done.stdout
        assert (annotated.root / "lake" / "checks.ok").exists()
    finally:
        check.unlink()
        annotated.back()
