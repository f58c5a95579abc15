"""Stage download as its users drive it, with the sample's own server beside it."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.conftest import Complaint, Project, RunTo

ASKED = "select rows_computed as n from runs where stage = 'download' order by started desc limit 1"
RAN = ("sample", "candidates", "filter", "download")


@pytest.fixture(scope="module")
def downloaded(run_to: RunTo, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has its pictures and is committed; each test leaves it as it was."""
    return run_to("download", tmp_path_factory.mktemp("downloaded") / "project")


def metrics(project: Project) -> dict[str, int]:
    found: dict[str, int] = json.loads((project.root / "metrics" / "download.json").read_text())
    return found


def servers() -> list[str]:
    """Sample servers of this test's projects that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
            folder = os.readlink(path.parent / "cwd")
        except OSError:
            continue
        if "spatialgen.sample.server" in words and "pytest" in folder:
            found.append(str(path))
    return found


def test_the_numbers_add_up_and_failures_are_rows(downloaded: Project) -> None:
    counted = metrics(downloaded)
    spatial = "select count(*) as n from captions where spatial_type in ('strong', 'weak')"
    assert counted["rows"] == downloaded.number(spatial) > 100
    assert counted["rows"] == counted["ok"] + counted["permanent"] + counted["transient"]
    assert sum(counted["reasons"].values()) == counted["rows"] - counted["ok"]  # type: ignore[attr-defined]
    assert "gone" in counted["reasons"]  # type: ignore[operator]
    assert counted["images"] == json.loads(downloaded.manifest("images"))["rows"]
    lost = "select count(*) as n from downloads anti join images using (sha256) where status = 'ok'"
    assert downloaded.number(lost) == 0
    for reason in downloaded.query("queries/download_reasons.sql"):
        assert reason["urls"]
    assert servers() == [], "each ends with its stage"


def test_a_second_repro_does_nothing(downloaded: Project) -> None:
    assert "Running stage" not in downloaded.run("dvc", "repro", "download").stdout
    assert downloaded.run("git", "status", "--porcelain").stdout == ""


def test_a_selection_fetches_nothing_and_comes_back(downloaded: Project) -> None:
    before = downloaded.manifest("images")
    for change in ("download.take=[strong]", "download.max_pixels=20000", "download.min_side=64"):
        downloaded.run("dvc", "exp", "run", "download", "-S", change)
        assert downloaded.number(ASKED) == 0
        assert (downloaded.manifest("images") != before) == ("take" in change)
        downloaded.back(*RAN)
    downloaded.back(*RAN)
    assert downloaded.manifest("images") == before


@pytest.mark.slow
def test_parallel_experiments_have_a_server_each(downloaded: Project) -> None:
    stored = downloaded.number("select count(*) as n from store.download")
    for name, attempt in (("second", 2), ("third", 3)):
        run = (
            "dvc",
            "exp",
            "run",
            "download",
            "-n",
            name,
            "--queue",
            "-S",
            f"download.attempt={attempt}",
        )
        downloaded.run(*run)
    downloaded.run("dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 150
    while "Running" in (shown := downloaded.run("dvc", "queue", "status").stdout) or (
        "Queued" in shown
    ):
        assert time.monotonic() < deadline, shown
        time.sleep(1)
    assert shown.count("Success") == 2, shown
    transient = downloaded.number("select count(*) as n from downloads where status = 'transient'")
    for name in ("second", "third"):
        rows = downloaded.number("select count(*) as n from downloads", "--at", name)
        assert rows == metrics(downloaded)["rows"]
    more = downloaded.number("select count(*) as n from store.download") - stored
    assert 0 <= more <= 2 * transient, "only what had failed for a passing reason was asked"
    assert servers() == []


def test_killed_with_its_group_it_goes_on_and_leaves_no_server(downloaded: Project) -> None:
    clean = downloaded.manifest("downloads"), downloaded.manifest("images")
    for name in ("download", "images"):
        (downloaded.root / ".lake" / "store" / f"{name}.lance").rename(
            downloaded.root / f"{name}.kept"
        )
    process = downloaded.start("dvc", "repro", "-f", "-s", "download")
    deadline = time.monotonic() + 60
    while not servers():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    downloaded.kill(process)
    deadline = time.monotonic() + 10
    while servers():
        assert time.monotonic() < deadline, "the server ends with the stage"
        time.sleep(0.1)
    downloaded.run("dvc", "repro", "-f", "-s", "download")
    assert (downloaded.manifest("downloads"), downloaded.manifest("images")) == clean
    for name in ("download", "images"):
        (downloaded.root / f"{name}.kept").rename(downloaded.root / ".lake" / f"{name}.kept")
    downloaded.back(*RAN)


def test_probe_and_estimate_reach_the_server(downloaded: Project) -> None:
    served = ("python", "-m", "spatialgen.sample.serve", *downloaded.resolve("spatialgen"))
    done = downloaded.run(
        *served, "probe", "--sample", "40", "--target", "1000", "--format", "json"
    )
    host, together = json.loads(done.stdout)
    assert (host["host"], together["host"]) == ("gimg2.sample.test", "all hosts")
    assert host["URLs"] == 40
    assert 1000 <= host["at least"] <= host["captions for 1000"] <= host["at most"]
    done = downloaded.run(*served, "estimate", "download", "--format", "json")
    (forecast,) = json.loads(done.stdout)
    assert (forecast["rows"], forecast["to do"]) == (metrics(downloaded)["rows"], 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compute.connect_to={a.test: localhost}",), "compute.connect_to"),
        (("compute.connect_to={a.test: '999.1.1.1:80'}",), "such as 127.0.0.1:8080"),
        (("compute.concurrency=0",), "compute.concurrency"),
        (("download.take=[]",), "download.take"),
        (("download.take=[strang]",), "download.take"),
        (("download.max_pixels=1e12",), "download.max_pixels"),
        (("download.nope=1",), "there is no download.nope"),
        (("download.min_side",), "has no key=value"),
        (("download.take=[strong",), "is no YAML"),
        (("compute.connect_to={127.0.0.1: '127.0.0.1:80'}",), "is no host name"),
    ],
)
def test_mistakes_end_in_one_sentence(
    downloaded: Project, arguments: tuple[str, ...], words: str, complaint: Complaint
) -> None:
    flags = [word for argument in arguments for word in ("-S", argument)]
    assert words in complaint(downloaded, "download", *flags)


def test_serve_wants_a_command_that_exists(downloaded: Project) -> None:
    serve = ("python", "-m", "spatialgen.sample.serve")
    assert "no command to run" in downloaded.run(*serve, check=False).stderr
    done = downloaded.run(*serve, "no-such-command", check=False)
    assert done.returncode == 1
    assert "no-such-command is no command" in done.stderr
    time.sleep(1)
    assert servers() == []
