"""Stage annotate as its users drive it: what is asked again and what is not, kills, pictures."""

import json
import re
import time
from pathlib import Path

import lance
import pytest
from PIL import Image

from tests.conftest import Complaint, Project

ASKED = "select rows_computed as n from runs where stage = 'annotate' order by started desc limit 1"
STORED = "select count(*) as n from store.annotate"


def stored(memo: Path) -> int:
    """Answers that are committed."""
    try:
        return int(lance.dataset(str(memo)).count_rows())
    except (OSError, ValueError):
        return 0


def test_every_downloaded_row_has_its_boxes_and_the_numbers_add_up(annotated: Project) -> None:
    metrics = json.loads((annotated.root / "metrics" / "annotate.json").read_text())
    assert metrics["rows"] == annotated.number(
        "select count(*) as n from downloads where status = 'ok'"
    )
    assert metrics["rows"] == json.loads(annotated.manifest("boxes"))["rows"] > 100
    lost = "select count(*) as n from boxes anti join images using (sha256)"
    assert annotated.number(lost) == 0
    assert metrics["objects"] == annotated.number("select sum(len(objects)) as n from boxes")
    assert metrics["truth"]["mean_iou"]["value"] > 0.7
    assert metrics["truth"]["false_box_rate"]["n"] == 20
    assert metrics["spatial_agree"]["value"] > 0.9
    (plot,) = [annotated.root / "plots" / "annotate.csv"]
    assert plot.read_text().startswith("iou,all,small,medium,large\n0.0,")
    shown = annotated.run("dvc", "plots", "show", "box_recall", "--show-vega").stdout
    assert "IoU of at least" in shown


def test_the_report_is_made_from_it_and_stays_out_of_git(annotated: Project) -> None:
    assert "<h1>" in (annotated.root / "report" / "index.html").read_text(encoding="utf-8")
    annotated.run("git", "check-ignore", "report")
    assert "plots/funnel.csv" in annotated.run("git", "ls-files", "plots").stdout
    changed = annotated.run(
        "dvc", "plots", "diff", "HEAD", "--show-vega", "--targets", "funnel"
    ).stdout
    assert "in the training split" in changed


def test_a_second_repro_does_nothing(annotated: Project) -> None:
    assert "Running stage" not in annotated.run("dvc", "repro").stdout
    assert annotated.run("git", "status", "--porcelain").stdout == ""


def test_what_the_model_waits_for_pictures_is_in_the_runs(annotated: Project) -> None:
    text = "select device_s, waited_s from runs where stage = 'annotate' and rows_computed > 100"
    run = annotated.query(text)[0]
    assert float(str(run["device_s"])) > 0
    assert 0 <= float(str(run["waited_s"])) < float(str(run["device_s"]))


def test_a_threshold_asks_nothing_and_comes_back(annotated: Project) -> None:
    before, stored = annotated.manifest("boxes"), annotated.number(STORED)
    annotated.run("dvc", "exp", "run", "annotate", "-S", "annotate.min_area=0.08")
    assert (annotated.number(ASKED), annotated.number(STORED)) == (0, stored)
    assert annotated.manifest("boxes") != before
    small = """select count(*) as n from (select unnest(objects).bbox as b from boxes)
               where (b[3] - b[1]) * (b[4] - b[2]) < 0.0799"""
    assert annotated.number(small) == 0
    annotated.back()
    assert annotated.manifest("boxes") == before


@pytest.mark.slow  # tests/grounding/test_annotate.py has it in the small
def test_a_second_look_pays_only_itself(annotated: Project) -> None:
    questions = annotated.number("select count(*) as n from boxes where error is null")
    annotated.run("dvc", "exp", "run", "annotate", "-S", "annotate.passes=2")
    assert 0 < annotated.number(ASKED) <= questions
    (levels,) = annotated.query("select count(self_iou) as n, median(self_iou) as iou from boxes")
    assert int(str(levels["n"])) > 0.9 * questions
    assert float(str(levels["iou"])) > 0.7
    annotated.back()


@pytest.mark.slow  # tests/grounding/test_annotate.py has it in the small
def test_more_rows_ask_only_themselves(annotated: Project, tmp_path: Path) -> None:
    clone = annotated.clone(tmp_path / "clone")
    clone.set_params(take="[strong]", planted=0)
    clone.run("dvc", "repro")
    fewer = clone.number(STORED)
    clone.set_params(take="[strong, weak]")
    clone.run("dvc", "repro")
    assert 0 < clone.number(ASKED) == clone.number(STORED) - fewer
    assert clone.manifest("boxes") == annotated.manifest("boxes")


def test_killed_it_goes_on_and_ends_like_the_clean_run(annotated: Project) -> None:
    clean = annotated.manifest("boxes")
    memo = annotated.root / ".lake" / "store" / "annotate.lance"
    memo.rename(annotated.root / "kept.lance")
    for kill in range(2):
        process = annotated.start("dvc", "repro", "-f", "-s", "annotate")
        deadline = time.monotonic() + 120
        while kill == 0 and stored(memo) == 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(0 if kill == 0 else 6)  # the second time: while the model loads
        annotated.kill(process)
    committed = stored(memo)
    assert committed > 0
    annotated.run("dvc", "repro", "-f", "-s", "annotate")
    assert annotated.manifest("boxes") == clean, "digest and all"
    assert annotated.number(ASKED) == annotated.number(STORED) - committed > 0, "the rest alone"
    assert annotated.number("select count(*) - count(distinct key) as n from store.annotate") == 0
    (annotated.root / "kept.lance").rename(annotated.root / ".lake" / "kept.lance")
    annotated.back()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model=/no/such/model", "neither a folder nor a hub id"),
        ("model=Qwen/Qwen2-VL-7B-Instruct", "-S annotate.revision=<commit>"),
        ("model=spatialgen/sample/qwen2-small", "model_type qwen2 is none whose boxes can be read"),
        ("prompt=pyproject.toml", "holds neither {names} nor {caption}"),
        ("gold=/no/gold.jsonl", "annotate.gold = /no/gold.jsonl cannot be read"),
        ("passes=3", "annotate.passes = 3 is wrong"),
        ("min_area=1", "annotate.min_area = 1 is wrong"),
        ("merge_iou=0", "annotate.merge_iou = 0 is wrong"),
        ("max_image_size=9", "annotate.max_image_size = 9 is wrong"),
    ],
)
def test_mistakes_stop_the_stage_with_one_sentence(
    annotated: Project, setting: str, words: str, complaint: Complaint
) -> None:
    key, value = setting.split("=", 1)
    annotated.set_params(**{f"annotate__{key}": value})
    try:
        assert words in complaint(annotated, "annotate")
    finally:
        annotated.run("git", "checkout", "-q", "params.yaml")


def test_show_draws_a_row_and_a_sheet(annotated: Project, tmp_path: Path) -> None:
    (row,) = annotated.query("select min(row_id) as id from boxes")
    assert int(str(row["id"])) < 0, "a negative row id is no option"
    done = annotated.run("spatialgen", "show", str(row["id"]), "--out", str(tmp_path / "one.png"))
    assert f"drawn in {tmp_path / 'one.png'}" in done.stderr
    with Image.open(tmp_path / "one.png") as one:
        width = one.width
    sheet = ("spatialgen", "show", "--random", "6", "--columns", "3", "--format", "json")
    done = annotated.run(*sheet, "--where", "spatial_agree", "--out", str(tmp_path / "sheet.jpg"))
    rows = json.loads(done.stdout)
    assert len(rows) == 6
    assert {each["spatial_agree"] for each in rows} == {True}
    with Image.open(tmp_path / "sheet.jpg") as drawn:
        assert drawn.width > 2 * width
    for arguments, words in [
        ((), "needs a ROW_ID or --random"),
        (("1", "--random", "2"), "needs a ROW_ID or --random"),
        (("12345",), "row 12345 is not in lake/boxes"),
        (("--random", "2", "--where", "false"), "no row of lake/boxes satisfies"),
        (("--random", "2", "--where", "nonsense"), "nonsense"),
        (("--random", "2", "--out", str(tmp_path / "x.txt")), "cannot be written"),
    ]:
        wrong = annotated.run("spatialgen", "show", *arguments, check=False)
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (1, False), wrong.stderr
        assert words in wrong.stderr


def test_estimate_knows_what_is_answered(annotated: Project) -> None:
    command = ("spatialgen", "estimate", "annotate", "--sample", "32", "--format", "json")
    (done,) = json.loads(annotated.run(*command).stdout)
    assert (done["rows"], done["to do"]) == (done["reused"], 0)
    (twice,) = json.loads(annotated.run(*command, "-S", "annotate.passes=2").stdout)
    assert 0 < twice["to do"] <= done["rows"]
    assert twice["rows/s"] > 0


@pytest.mark.slow  # tests/grounding/test_annotate.py has it in the small
def test_a_clone_that_pulled_asks_nothing_again(annotated: Project, tmp_path: Path) -> None:
    clone = annotated.clone(tmp_path / "clone")
    said = clone.run("spatialgen", "store", "seed").stdout
    assert re.search(r"annotate: [1-9]\d* answers added", said)
    clone.run(
        "dvc", "exp", "run", "annotate", "-S", "annotate.min_area=0.01", "-S", "annotate.planted=0"
    )
    assert clone.number(ASKED) == 0
