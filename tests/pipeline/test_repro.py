"""The pipeline as its users drive it: dvc repro, checkout, push and pull, experiments, kill -9."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from spatialgen.lake.links import files_under
from tests.conftest import REPOSITORY, Complaint, Project, RunTo, make_project


def rows(project: Project, text: str = "select count(*) as n from candidates", *at: str) -> int:
    done = project.run("spatialgen", "sql", text, "--format", "json", *at)
    return int(json.loads(done.stdout)[0]["n"])


def test_the_sample_runs_and_the_numbers_add_up(ran: Project) -> None:
    metrics = json.loads((ran.root / "metrics" / "candidates.json").read_text())
    sample = json.loads((ran.root / "metrics" / "sample.json").read_text())
    manifest = json.loads(ran.manifest("candidates"))
    rejects = json.loads(ran.manifest("rejects"))
    assert metrics["records"] == sample["lines"] == 3000
    assert metrics["rejected"] == sample["damaged"] == rejects["rows"]
    assert metrics["candidates"] == manifest["rows"]
    parts = ("rejected", "unmatched", "duplicates", "candidates")
    assert sum(metrics[part] for part in parts) == metrics["records"]
    shares = (sample["strong"] + sample["weak"]) / 3000
    assert 0.03 < shares < 0.07


def test_no_spatial_caption_of_the_sample_is_missed(ran: Project) -> None:
    text = """select count(*) as n from 'data/sample/truth.parquet' anti join candidates
              using (row_id) where spatial_type <> 'none'"""
    assert rows(ran, text) == 0


def test_a_second_repro_does_nothing(ran: Project) -> None:
    done = ran.run("dvc", "repro", "filter")
    assert "Running stage" not in done.stdout
    assert ran.run("git", "status", "--porcelain").stdout == ""


def test_equal_content_leaves_everything_downstream_alone(ran: Project) -> None:
    lock = (ran.root / "dvc.lock").read_text()
    ran.run("dvc", "repro", "-f", "-s", "candidates")
    assert (ran.root / "dvc.lock").read_text() == lock, "republished files are identical"
    assert ran.run("git", "status", "--porcelain").stdout == ""


def test_one_physical_copy_for_store_workspace_and_cache(ran: Project) -> None:
    (data,) = (ran.root / "lake" / "candidates.lance" / "data").glob("*.lance")
    inode = data.stat().st_ino
    places = {
        path.relative_to(ran.root).parts[:2]
        for path in files_under(ran.root)
        if path.stat().st_ino == inode
    }
    assert places == {(".lake", "published"), ("lake", "candidates.lance"), (".dvc", "cache")}


def test_kill_9_then_repro_gives_the_clean_run(unrun: Project, ran: Project) -> None:
    rng = random.Random(2)
    killed = 0
    for _ in range(4):
        process = subprocess.Popen(
            unrun.resolve("dvc", "repro", "candidates"),
            cwd=unrun.root,
            env=unrun.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(1, 3))
        os.killpg(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        lock = unrun.root / "dvc.lock"
        if lock.exists() and not lock.read_text():
            lock.unlink()  # DVC writes both in place: see the README's pitfalls
        (unrun.root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    assert killed
    unrun.run("dvc", "repro", "candidates")
    for table in ("candidates", "rejects"):
        assert unrun.manifest(table) == ran.manifest(table)
    assert rows(unrun) == json.loads(ran.manifest("candidates"))["rows"]


def test_old_commits_come_back(project: Project) -> None:
    first, many = project.run("git", "rev-parse", "HEAD").stdout.strip(), rows(project)
    project.set_params(keywords="[左, 右]")
    project.run("dvc", "repro", "candidates")
    second, few = project.commit("second"), rows(project)
    assert few < many

    project.run("git", "checkout", "-q", first)
    apart = project.run("spatialgen", "sql", "from candidates", check=False)
    assert apart.returncode == 1
    assert 'run "dvc checkout"' in apart.stderr
    project.run("dvc", "checkout", "candidates")
    assert rows(project) == many
    project.run("git", "checkout", "-q", second)
    project.run("dvc", "checkout", "candidates")
    assert rows(project) == few

    # The same by SQL alone, from the store, and from DVC's cache once the store has forgotten.
    count = "select count(*) as n from candidates"
    assert rows(project, count, "--at", "HEAD~1") == many
    shutil.rmtree(project.root / ".lake" / "published")
    assert rows(project, count, "--at", first) == many
    metric = "select value as n from metrics where file = 'metrics/candidates' and name = 'records'"
    assert rows(project, metric, "--at", first) == 3000
    assert rows(project) == few


def test_push_clone_pull_seed_and_query(project: Project, tmp_path: Path) -> None:
    project.run("dvc", "remote", "add", "-d", "lab", str(tmp_path / "remote"))
    first = project.commit("run")
    project.run("dvc", "push")
    manifest = project.manifest("candidates")
    project.set_params(keywords="[左]")
    project.run("dvc", "repro", "candidates")
    project.commit("fewer")
    project.run("dvc", "push")

    project.run("git", "clone", "-q", str(project.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.run("dvc", "pull", "candidates", "sample")
    done = clone.run("dvc", "repro", "candidates")
    assert "Running stage" not in done.stdout
    assert "added" in clone.run("spatialgen", "store", "seed").stdout
    assert "already there" in clone.run("spatialgen", "store", "seed").stdout
    assert clone.manifest("candidates") == project.manifest("candidates")
    # An older version comes from the remote.
    count = "select count(*) as n from candidates"
    assert rows(clone, count, "--at", first) == json.loads(manifest)["rows"]
    digest = json.loads(clone.manifest("candidates"))["digest"]
    assert (clone.root / ".lake" / "published" / "candidates" / digest).is_dir()


def test_a_table_that_nobody_pushed_is_said_so(project: Project, tmp_path: Path) -> None:
    first = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.run("git", "clone", "-q", str(project.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    missing = clone.run("spatialgen", "sql", "from candidates", check=False)
    assert "candidates.lance is missing" in missing.stderr
    missing = clone.run("spatialgen", "sql", "from candidates", "--at", first, check=False)
    assert missing.returncode == 1
    assert "is in neither store, cache nor remote" in missing.stderr


@pytest.mark.slow
def test_experiments_share_the_store_and_keep_apart(project: Project) -> None:
    base = rows(project)
    run = ("dvc", "exp", "run", "-S")
    project.run(*run, 'candidates.keywords=["左","右"]', "-n", "here", "candidates")
    assert 0 < rows(project) < base
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "candidates")
    assert rows(project) == base

    project.run(*run, 'candidates.keywords=["上"]', "-n", "apart", "--temp", "candidates")
    assert rows(project) == base, "the workspace did not move"
    project.run(*run, 'candidates.keywords=["里"]', "-n", "first", "--queue", "candidates")
    project.run(*run, 'candidates.keywords=["旁"]', "-n", "second", "--queue", "candidates")
    project.run("dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 120
    while not re.fullmatch(r"(?s)(?!.*(Queued|Running)).*Success.*Success.*", queue(project)):
        assert time.monotonic() < deadline, queue(project)
        time.sleep(1)

    for name, word in [("here", "左"), ("apart", "上"), ("first", "里"), ("second", "旁")]:
        text = f"select count(*) filter (contains(caption, '{word}')) as n from candidates"
        assert rows(project, text, "--at", name) > 0
        if name != "here":
            text = f"select count(*) filter (not contains(caption, '{word}')) as n from candidates"
            assert rows(project, text, "--at", name) == 0
    assert rows(project) == base
    assert len(list((project.root / ".lake" / "published" / "candidates").iterdir())) == 5
    assert rows(project, "select count(*) as n from runs where stage = 'candidates'") == 5

    removed = project.run("spatialgen", "store", "gc", "--min-age-hours", "0").stdout
    assert "published" not in removed, "experiments name their versions"
    project.run("dvc", "exp", "remove", "first", "second", "apart", "here")
    project.run("git", "reflog", "expire", "--expire=now", "--all")
    dry = project.run("spatialgen", "store", "gc", "--min-age-hours", "0", "--dry-run").stdout
    removed = project.run("spatialgen", "store", "gc", "--min-age-hours", "0").stdout
    assert dry == removed
    assert removed.count("published/candidates") == 4
    assert rows(project) == base


def queue(project: Project) -> str:
    return project.run("dvc", "queue", "status").stdout


def test_works_without_the_right_to_override_file_modes(run_to: RunTo, tmp_path: Path) -> None:
    """As an ordinary user: DVC leaves files read-only, and the store shares their inodes."""
    prefix = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("dropping root's capabilities needs setpriv")
        prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    project = Project(run_to("candidates", tmp_path / "project").root, prefix)
    (data,) = (project.root / "lake" / "candidates.lance" / "data").iterdir()
    assert data.stat().st_mode & 0o222 == 0
    done = project.run("python", "-c", f"open({str(data)!r}, 'ab')", check=False)
    assert "PermissionError" in done.stderr
    base = rows(project)
    project.run("dvc", "repro", "-f", "-s", "candidates")
    project.run("dvc", "exp", "run", "-S", 'candidates.keywords=["左"]', "candidates")
    assert rows(project) < base
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "candidates")
    assert rows(project) == base
    project.run("spatialgen", "store", "seed")
    project.run("spatialgen", "store", "gc", "--min-age-hours", "0")


def test_your_own_folder_of_shards(project: Project, tmp_path: Path) -> None:
    shards = tmp_path / "wukong"
    shards.mkdir()
    (shards / "wukong_100m_7.csv").write_text("url,caption\nhttp://a/1,左边\n", encoding="utf-8")
    setting = ("-S", f"candidates.csv={shards}")
    project.run("dvc", "exp", "run", *setting, "candidates")
    assert rows(project) == 1
    with (shards / "wukong_100m_7.csv").open("a", encoding="utf-8") as file:
        file.write("http://a/2,右边\n")
    project.run("dvc", "repro", "candidates")
    assert rows(project) == 2, "DVC saw that the shard has changed"


def test_mistakes_stop_the_stage_with_one_sentence(project: Project, complaint: Complaint) -> None:
    params = project.root / "params.yaml"
    text = params.read_text(encoding="utf-8")
    for key, value, words in [
        ("csv", "nowhere", "nowhere"),
        ("memory", "much", "compute.memory = 'much' is wrong"),
        ("pattern", "'*.tsv'", "fits '*.tsv'; set candidates.pattern"),
    ]:
        params.write_text(text, encoding="utf-8")
        project.set_params(**{key: value})
        assert words in complaint(project, "candidates")
    done = project.run("dvc", "repro", "-f", "-s", "candidates", check=False)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    project.run("git", "checkout", "-q", ".")  # DVC removes outs first; nothing of them is lost
    project.run("dvc", "checkout", "candidates")
    assert rows(project) > 0


@pytest.mark.slow  # draws the whole sample; tests/test_contracts.py asks dvc.lock
def test_the_repository_itself_holds_what_a_run_gives(tmp_path: Path) -> None:
    """The manifests in git are those of the shipped params, on any machine."""
    project = make_project(tmp_path / "project")
    shutil.copy(REPOSITORY / "params.yaml", project.root / "params.yaml")
    project.run("dvc", "repro", "candidates")
    for name in ("lake/candidates.json", "lake/rejects.json", "metrics/candidates.json"):
        assert (project.root / name).read_text() == (REPOSITORY / name).read_text(), name


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_stage_says_so_and_harms_nothing(project: Project, sent: int) -> None:
    base = project.manifest("candidates")
    lines = [f"http://a/{n},左边的第{n}个\n" for n in range(300_000)]
    (project.root / "big.csv").write_text("url,caption\n" + "".join(lines), encoding="utf-8")
    project.set_params(csv="big.csv")
    process = subprocess.Popen(
        project.resolve("python", "-m", "pipeline.candidates"),
        cwd=project.root,
        env=project.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    spill = project.root / ".lake" / "spill"
    while not list(spill.glob("*/*.arrow")):
        time.sleep(0.01)
    process.send_signal(sent)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: everything committed so far is kept" in stderr
    assert "Traceback" not in stderr
    assert project.manifest("candidates") == base
    assert not list(spill.iterdir())
    assert not list((project.root / ".lake" / "published" / "candidates").glob(".*"))
