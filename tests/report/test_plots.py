"""The plots that `dvc plots` draws: of the report's queries, by templates that exist."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CAPTIONS
from spatialgen.report.answers import Answers, write_plots
from spatialgen.report.page import ASKED, PLOTS
from tests.conftest import REPOSITORY
from tests.tables import publish

DVC = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
DECLARED = {
    name: plot
    for entry in DVC["plots"]
    for name, plot in entry.items()
    if "y" in plot  # the others are what dvclive draws
}


def test_the_stage_declares_what_it_reads_and_writes() -> None:
    stage = DVC["stages"]["report"]
    queries = [dep for dep in stage["deps"] if dep.startswith("queries/")]
    assert queries == sorted(f"queries/{name}.sql" for name in ASKED)
    assert stage["outs"][1:] == [{f"plots/{name}.csv": {"cache": False}} for name in PLOTS]
    shipped = (REPOSITORY / "spatialgen" / "report").iterdir()
    parts = {
        f"spatialgen/report/{path.name}" for path in shipped if path.suffix in (".html", ".css")
    }
    assert parts <= set(stage["deps"])
    assert set(PLOTS) <= set(DECLARED)


def test_a_plot_holds_what_its_query_says(lake: Lake, tmp_path: Path) -> None:
    row = {"row_id": 1, "url": "u", "caption": "左边是猫", "spatial_type": "strong"}
    publish(lake, CAPTIONS, [row])
    write_plots(
        Answers(lake, REPOSITORY / "queries"), ("caption_lengths", "box_sizes"), tmp_path / "plots"
    )
    assert (tmp_path / "plots" / "caption_lengths.csv").read_text(encoding="utf-8") == (
        "length,captions,strong,weak,none,share\n4,1,1,0,0,1.0\n"
    )
    assert not (tmp_path / "plots" / "box_sizes.csv").exists(), "its table is not there yet"


def test_dvc_draws_every_declared_plot(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dvc", "plots", "show", "-o", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    specs = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*?\});\n", text, re.DOTALL)]
    titles = {spec["title"]["text"] for spec in specs}
    assert titles >= {plot["title"] for plot in DECLARED.values()}
    for spec in specs:
        assert "<DVC_METRIC" not in json.dumps(spec), "a part of a template was not filled in"


def test_plots_name_columns_that_are_there() -> None:
    for plot in DECLARED.values():
        for path, columns in plot["y"].items():
            with (REPOSITORY / path).open(newline="", encoding="utf-8") as file:
                there = csv.DictReader(file).fieldnames or []
            named = columns if isinstance(columns, list) else [columns]
            assert {plot["x"], *named} <= set(there), path
