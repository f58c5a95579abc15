"""`spatialgen diff` between commits, experiments and the workspace."""

import json
import shutil
from pathlib import Path

from tests.conftest import Project


def changes(project: Project, *arguments: str) -> dict[tuple[str, str | None], dict[str, int]]:
    """The rows of `spatialgen diff` by table and column."""
    done = project.run("spatialgen", "diff", *arguments, "--format", "json")
    return {(row.pop("table"), row.pop("column")): row for row in json.loads(done.stdout)}


def test_an_experiment_against_its_baseline(annotated: Project) -> None:
    annotated.run("dvc", "exp", "run", "annotate", "-S", "annotate.min_area=0.08", "-n", "larger")
    in_workspace = changes(annotated, "HEAD", "--table", "boxes")
    annotated.back()
    shutil.rmtree(annotated.root / ".lake" / "published" / "boxes")  # DVC's cache has both
    found = changes(annotated, "HEAD", "larger", "--table", "boxes")
    assert found == in_workspace
    rows = int(json.loads(annotated.manifest("boxes"))["rows"])
    assert found["boxes", None]["added"] == found["boxes", None]["removed"] == 0
    assert 0 < found["boxes", "objects"]["changed"] <= found["boxes", None]["changed"] < rows
    assert ("boxes", "raw") not in found
    fewer = """select count(*) as n from new.boxes join old.boxes using (row_id)
        where len(new.boxes.objects) < len(old.boxes.objects)"""
    done = annotated.run("spatialgen", "diff", "HEAD", "larger", "--sql", fewer, "--format", "json")
    assert json.loads(done.stdout)[0]["n"] == found["boxes", "objects"]["changed"]


def test_nothing_has_changed(annotated: Project) -> None:
    found = changes(annotated, "HEAD")
    assert {name for name, _ in found} >= {"captions", "boxes", "splits"}
    assert not any(row["added"] or row["removed"] or row["changed"] for row in found.values())


def test_an_unknown_revision_is_one_sentence(annotated: Project, tmp_path: Path) -> None:
    done = annotated.run("spatialgen", "diff", "HEAD", "nowhere", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no revision or experiment 'nowhere'")
