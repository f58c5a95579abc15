"""Stage filter as its users drive it: what is asked again and what is not, kills, experiments."""

import csv
import json
import random
import re
import time
from pathlib import Path

import pytest

from spatialgen.lake.schemas import PROBABILITIES
from tests.conftest import Complaint, Project, make_project

ASKED = "select rows_computed as n from runs where stage = 'filter' order by started desc limit 1"
RAN = ("sample", "candidates", "filter")


@pytest.fixture(scope="module")
def judged(ran: Project) -> Project:
    """A project that has judged its captions and is committed; each test leaves it as it was."""
    return ran


def metrics(project: Project) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.root / "metrics" / "filter.json").read_text())
    return found


def test_every_candidate_is_judged_and_the_numbers_add_up(judged: Project) -> None:
    manifest = json.loads(judged.manifest("captions"))
    counts = metrics(judged)
    assert counts["rows"] == manifest["rows"] == json.loads(judged.manifest("candidates"))["rows"]
    assert counts["rows"] == sum(int(str(counts[k])) for k in ("strong", "weak", "none", "failed"))
    apart = "select count(*) as n from candidates anti join captions using (row_id, url, caption)"
    assert judged.number(apart) == 0
    assert judged.number("select count(*) as n from captions where error is not null") == 0


def test_the_shipped_model_knows_the_sample_world(judged: Project) -> None:
    gold = metrics(judged)["gold"]
    assert isinstance(gold, dict)
    assert gold["n"] > 500
    assert gold["macro_f1"]["value"] > 0.95
    assert metrics(judged)["spatial_share"] == gold["spatial_precision"]
    assert gold["spatial_precision"]["lo"] > 0.9


def test_only_the_threshold_changes_and_nothing_is_asked(judged: Project) -> None:
    stored = judged.number("select count(*) as n from store.filter")
    before = judged.manifest("captions")
    judged.run("dvc", "exp", "run", "filter", "-S", "filter.min_probability=0.999")
    assert judged.number(ASKED) == 0
    assert judged.number("select count(*) as n from store.filter") == stored
    assert judged.manifest("captions") != before
    judged.back(*RAN)
    assert judged.manifest("captions") == before


def test_a_changed_prompt_asks_all_again_and_going_back_asks_nothing(judged: Project) -> None:
    questions = judged.number("select count(distinct caption) as n from captions")
    prompt = judged.root / "spatialgen" / "captions" / "rubric.txt"
    text = prompt.read_text(encoding="utf-8")
    prompt.write_text(text.replace("只回答", "请只回答"), encoding="utf-8")
    judged.run("dvc", "repro", "-s", "filter")
    assert judged.number(ASKED) == questions
    prompt.write_text(text, encoding="utf-8")
    judged.run("dvc", "repro", "-f", "-s", "filter")
    assert judged.number(ASKED) == 0
    assert judged.run("git", "status", "--porcelain").stdout == "", "the very tables of before"


@pytest.mark.slow  # tests/captions/test_filter.py has it in the small
def test_a_raised_revision_asks_all_again(judged: Project) -> None:
    questions = judged.number("select count(distinct caption) as n from captions")
    code = judged.root / "spatialgen" / "captions" / "filter.py"
    text, changed = re.subn(r"^REVISION = \d+", "REVISION = 99", code.read_text(), flags=re.M)
    assert changed == 1
    code.write_text(text)
    judged.run("dvc", "repro", "-s", "filter")
    assert judged.number(ASKED) == questions
    judged.back(*RAN)


def test_more_rows_ask_only_themselves(judged: Project) -> None:
    shard = judged.root / "data" / "sample" / "csv" / "wukong_100m_9.csv"
    folder = judged.root.parent / "more"
    folder.mkdir()
    for path in shard.parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with (folder / shard.name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "caption"])
        writer.writerows([f"http://new/{n}", f"第{n}只猫在狗的左边"] for n in range(30))
    judged.run("dvc", "exp", "run", "filter", "-S", f"candidates.csv={folder}")
    assert judged.number(ASKED) == 30
    judged.back(*RAN)


@pytest.mark.slow
def test_experiments_elsewhere_share_the_store(judged: Project) -> None:
    run = ("dvc", "exp", "run", "filter", "-S")
    stored = judged.number("select count(*) as n from store.filter")
    judged.run(*run, "filter.min_probability=0.2", "-n", "apart", "--temp")
    assert judged.number(ASKED) == 0
    for name, least in (("first", 0.3), ("second", 0.7)):
        judged.run(*run, f"filter.min_probability={least}", "-n", name, "--queue")
    judged.run("dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 200
    while not re.fullmatch(r"(?s)(?!.*(Queued|Running)).*Success.*Success.*", queue(judged)):
        assert time.monotonic() < deadline, queue(judged)
        time.sleep(1)
    assert judged.number("select count(*) as n from store.filter") == stored
    text = """select count(*) as n from captions
              where (spatial_type <> 'none') <> (p_strong::double + p_weak::double >= {})"""
    for name, least in (("apart", 0.2), ("first", 0.3), ("second", 0.7)):
        assert judged.number(text.format(least), "--at", name) == 0
    assert judged.run("git", "status", "--porcelain").stdout == "", "the workspace did not move"


def queue(project: Project) -> str:
    return project.run("dvc", "queue", "status").stdout


def test_two_runs_that_ask_the_same_at_once_publish_the_right_rows(
    judged: Project, tmp_path: Path
) -> None:
    """Two clones with one store, which starts empty."""
    clones = []
    for name in ("one", "two"):
        clones.append(judged.clone(tmp_path / name, *RAN))
    store, command = str(tmp_path / "store"), ("dvc", "repro", "-f", "-s", "filter")
    running = [clone.start(*command, SPATIALGEN_STORE=store) for clone in clones]
    assert [process.wait() for process in running] == [0, 0]
    for clone in clones:
        assert same_judgement(clone, judged)


def test_a_clone_that_pulled_asks_nothing_again(judged: Project, tmp_path: Path) -> None:
    clone = judged.clone(tmp_path / "clone", *RAN)
    questions = clone.number("select count(distinct caption) as n from captions")
    assert f"filter: {questions} answers added" in clone.run("spatialgen", "store", "seed").stdout
    assert "filter: 0 answers added" in clone.run("spatialgen", "store", "seed").stdout
    clone.run("dvc", "exp", "run", "filter", "-S", "filter.min_probability=0.9")
    assert clone.number(ASKED) == 0
    clone.back(*RAN)
    clone.set_params(filter__prompt="README.md")
    assert "no answers added" in clone.run("spatialgen", "store", "seed").stdout


def same_judgement(one: Project, other: Project) -> bool:
    """Rows, classes and errors are equal, and floats agree within 1e-3."""
    first, second = (p.lake()["captions"].dataset().to_table() for p in (one, other))
    floats = [field.name for field in PROBABILITIES]
    equal: bool = first.drop_columns(floats).equals(second.drop_columns(floats))
    differences = [
        abs(a - b)
        for name in floats
        for a, b in zip(first[name].to_pylist(), second[name].to_pylist(), strict=True)
    ]
    return equal and max(differences) < 1e-3


@pytest.mark.slow
def test_ten_kills_then_repro_or_an_experiment_give_the_clean_run(tmp_path: Path) -> None:
    clean, killed = (make_project(tmp_path / name) for name in ("clean", "killed"))
    for project in (clean, killed):
        project.set_params(rows=20_000)
        project.commit("more rows")
        project.run("dvc", "repro", "candidates")
    clean.run("dvc", "repro", "filter")
    killed.commit("candidates")
    rng = random.Random(3)
    experiment = ("dvc", "exp", "run", "filter", "-S", "filter.min_probability=0.5")
    for kill in range(10):
        process = killed.start(*(experiment if kill % 2 else ("dvc", "repro", "filter")))
        time.sleep(rng.uniform(1.5, 9))
        killed.kill(process)
    killed.run(*experiment)
    assert killed.manifest("captions") == clean.manifest("captions"), "digest and all"
    distinct = "select count(*) - count(distinct key) as n from store.filter"
    assert killed.number(distinct) == 0
    assert killed.number("select count(*) as n from store.filter") == clean.number(
        "select count(*) as n from store.filter"
    )


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("filter.model=/no/such/model", "neither a folder nor a hub id"),
        ("filter.model=Qwen/Qwen2.5-7B-Instruct", "a hub id needs its revision"),
        ("filter.labels.strong=强烈", "is not one token behind the prompt"),
        ("filter.labels.strong=B", "are not distinct"),
        ("filter.gold=/no/gold.jsonl", "filter.gold = /no/gold.jsonl cannot be read"),
        ("filter.min_probability=2", "filter.min_probability = 2 is wrong"),
        ("filter.target_samples=0", "filter.target_samples = 0 is wrong"),
    ],
)
def test_mistakes_stop_the_stage_with_one_sentence(
    judged: Project, setting: str, words: str, complaint: Complaint
) -> None:
    key, value = setting.split("=")
    params = judged.root / "params.yaml"
    text = params.read_text(encoding="utf-8")
    if key.startswith("filter.labels"):
        changed = text.replace("{strong: A,", f"{{strong: {value},")
    else:
        name = key.removeprefix("filter.")
        changed = re.sub(rf"^  {name}: \S+", f"  {name}: {value}", text, count=1, flags=re.M)
    assert changed != text
    params.write_text(changed, encoding="utf-8")
    try:
        assert words in complaint(judged, "filter")
    finally:
        params.write_text(text, encoding="utf-8")


def test_a_target_stops_early_and_no_gold_is_no_figure(judged: Project) -> None:
    judged.run("dvc", "exp", "run", "filter", "-S", "filter.target_samples=20")
    assert int(str(metrics(judged)["strong"])) + int(str(metrics(judged)["weak"])) == 20
    judged.run(
        "dvc",
        "exp",
        "run",
        "filter",
        "-S",
        "filter.target_samples=100000",
        "-S",
        "filter.gold=null",
    )
    assert metrics(judged)["rows"] == json.loads(judged.manifest("candidates"))["rows"]
    assert set(metrics(judged)) == {"rows", "strong", "weak", "none", "failed"}
    judged.back(*RAN)


def test_the_command_line_forecasts_watches_and_exports(judged: Project, tmp_path: Path) -> None:
    (forecast,) = json.loads(
        judged.run(
            *("spatialgen", "estimate", "filter", "--gpu-hour-price", "2", "--format", "json")
        ).stdout
    )
    assert forecast["rows"] == forecast["reused"]
    assert (forecast["to do"], forecast["price"]) == (0, 0)
    (status,) = json.loads(judged.run("spatialgen", "status", "--format", "json").stdout)
    assert (status["stage"], status["state"], status["left"]) == ("filter", "finished", 0)

    file = tmp_path / "out.csv"
    assert "rows in" in judged.run("spatialgen", "export", "captions", str(file)).stderr
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    counts = metrics(judged)
    assert len(rows) == int(str(counts["strong"])) + int(str(counts["weak"]))
    assert {row["spatial_type"] for row in rows} == {"strong", "weak"}
    assert list(rows[0]) == ["url", "caption", "spatial_type"]
    again = judged.run("spatialgen", "export", "captions", str(file), check=False)
    assert "exists; remove it, or replace it with --force" in again.stderr
    where = ("--where", "p_none > 0.9", "--force")
    judged.run("spatialgen", "export", "captions", str(file), *where)
    with file.open(encoding="utf-8", newline="") as lines:
        assert {row["spatial_type"] for row in csv.DictReader(lines)} == {"none"}
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    for target, *options, words in [
        (file, "--force", "--where", "x=", "does not run"),
        (file, "--force", "--where", "cast(caption as int) = 5", "does not run"),
        (file, "--force", "--where", "", "is no condition"),
        (file, "--force", "--where", "1=1; drop table x", "is no condition"),
        (folder, "--force", "is no ordinary file"),
        (tmp_path, "name a .csv or .parquet file"),
        (tmp_path / "out.txt", "name a .csv or .parquet file"),
        (file / "below", "cannot be written"),
    ]:
        command = ["spatialgen", "export", "captions", str(target), *map(str, options)]
        wrong = judged.run(*command, check=False)
        assert (wrong.returncode, "Traceback" in wrong.stderr) == (1, False), wrong.stderr
        assert str(words) in wrong.stderr
    folder.rmdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"], "no scratch is left"
    wrong = judged.run("spatialgen", "export", "nope", str(file), check=False)
    assert "there is no table 'nope'; tables: candidates" in wrong.stderr
