"""Out of one lake and into another: nothing is asked again, and the rows are the same."""

import hashlib
import json
from pathlib import Path

import pyarrow.compute as pc
import pytest

from spatialgen.exchange.forms import Form
from spatialgen.exchange.imports import BOXES, SHARD
from spatialgen.exchange.samples import export_samples
from spatialgen.lake.lake import Lake
from tests.conftest import Project, make_project
from tests.exchange.sets import many, publish_all, samples_of, take_in

ROWS = """
    select row_id, url, caption, spatial_type, sha256, relations, spatial_agree,
           [{'name': o.name, 'bbox': o.bbox} for o in objects] as objects
    from boxes join captions using (row_id) where boxes.error is null order by row_id
"""
COMPUTED = (
    "select sum(rows_computed)::bigint as n from runs where stage in ('download', 'annotate')"
)


@pytest.mark.slow  # two projects run: two minutes
def test_the_sample_goes_into_another_project_and_nothing_is_asked(tmp_path: Path) -> None:
    first, second = (make_project(tmp_path / name) for name in ("first", "second"))
    first.run("dvc", "repro", "annotate")
    done = first.run("spatialgen", "export", "boxes", str(tmp_path / "set"))
    rows = first.query(ROWS)
    assert f"{len(rows)} rows and " in done.stderr
    out = tmp_path / "out"
    done = second.run("spatialgen", "import", str(tmp_path / "set"), "--out", str(out))
    assert "rejected" not in done.stdout
    flags = (f"candidates.csv={out / SHARD}", f"annotate.given={out / BOXES}")
    command = done.stderr.strip().splitlines()[-1].split()
    assert command == ["dvc", "exp", "run", "-S", flags[0], "-S", flags[1]]
    second.run(*command[:3], "annotate", *command[3:])
    assert second.query(ROWS) == rows
    assert second.number(COMPUTED) == 0, "no URL and no model was asked"
    unasked(second)


def unasked(project: Project) -> None:
    """No boxes of this project came from a model; gold knows its rows, and measures none."""
    assert project.number("select count(*) as n from boxes where len(raw) > 0") == 0
    metrics = json.loads((project.root / "metrics" / "annotate.json").read_text())
    assert "truth" not in metrics
    estimate = project.run("spatialgen", "estimate", "annotate", "--format", "json").stdout
    assert json.loads(estimate)[0]["to do"] == 0


@pytest.mark.slow  # ten thousand pictures: a minute or two
def test_ten_thousand_pictures_come_back_equal(tmp_path: Path) -> None:
    rows, lakes = 10_000, []
    source = many(tmp_path / "set", rows, (320, 240))
    for name in ("first", "second"):
        lake = Lake(tmp_path / name / "lake", store=tmp_path / name / ".lake")
        done = take_in(lake, source, tmp_path / name / "out")
        assert (done.samples, done.with_objects, done.new_urls) == (rows, rows, rows)
        publish_all(lake, tmp_path / name / "out")
        lakes.append(lake)
        source = tmp_path / name / "exported"
        exported = export_samples(lake, source, Form.jsonl)
        assert (exported.rows, exported.pictures) == (rows, rows)
    first, second = lakes
    for table in ("candidates", "captions", "downloads", "images", "boxes", "splits"):
        assert first[table].manifest == second[table].manifest, table
    samples = (tmp_path / "first" / "exported" / "samples.jsonl").read_bytes()
    assert samples == (source / "samples.jsonl").read_bytes()
    assert len(samples_of(second)) == rows
    drawn = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("set/*/*.jpg")}
    digests = second["images"].dataset().to_table(columns=["sha256"])["sha256"]
    assert set(digests.to_pylist()) == drawn
    assert pc.count_distinct(digests).as_py() == rows
