"""Fixtures: a lake in a temporary folder, a project under git and DVC, and the shared test data."""

import contextlib
import fcntl
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lance
import pyarrow as pa
import pytest
from hypothesis import settings

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import IMAGES
from spatialgen.params import ComputeParams, load_params
from spatialgen.project import run

# Tests run in two processes: threads of both on two cores would mostly wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("unhurried", deadline=None)  # no test asserts a timing
settings.load_profile("unhurried")

REPOSITORY = Path(__file__).parent.parent
DATA = Path(os.environ.get("SPATIALGEN_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that the processes which share the tests end together."""
    items.sort(key=lambda item: "pipeline" not in item.path.parts)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake with a store of its own."""
    return Lake(tmp_path / "lake", store=tmp_path / ".lake")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def photos() -> list[bytes]:
    """The bytes of real photographs."""
    files = sorted((DATA / "photos").glob("*.jpg"))
    if not files:
        pytest.skip(f"no photographs in {DATA / 'photos'}; set SPATIALGEN_TEST_DATA")
    return [file.read_bytes() for file in files]


@pytest.fixture(scope="session")
def real_captions() -> list[str]:
    """Human Chinese captions of COCO pictures."""
    file = DATA / "captions_icap" / "coco-cn_ext.icap2020.txt"
    if not file.exists():
        pytest.skip(f"no {file}; set SPATIALGEN_TEST_DATA")
    return [line.split("\t")[1].strip() for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def nsr1k() -> Path:
    """NSR-1K's folder."""
    folder = DATA / "nsr1k"
    if not folder.exists():
        pytest.skip(f"no {folder}; set SPATIALGEN_TEST_DATA")
    return folder


def compute_params(**changed: object) -> ComputeParams:
    """The repository's compute section, with some values changed."""
    return load_params(REPOSITORY / "params.yaml").compute.model_copy(update=changed)


def picture_table(pictures: list[bytes]) -> pa.Table:
    """Rows of the images table; only the key and the bytes are true."""
    count = len(pictures)
    columns = [
        pa.array([hashlib.sha256(picture).hexdigest() for picture in pictures], pa.string()),
        lance.blob_array(pictures),
        pa.array([640] * count, pa.int32()),
        pa.array([480] * count, pa.int32()),
        pa.array(["jpeg"] * count, pa.string()),
        pa.array(list(map(len, pictures)), pa.int64()),
        pa.nulls(count, pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=IMAGES.schema)


@dataclass
class Project:
    """A checkout of this repository with its own git history, DVC cache and store."""

    root: Path
    prefix: list[str] = field(default_factory=list)  # runs commands as another kind of user

    def run(
        self, *command: str, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; `dvc`, `python` and `spatialgen` are this environment's."""
        done = subprocess.run(
            [*self.prefix, *self.resolve(*command)],
            cwd=self.root,
            env=self.environment(**env or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def resolve(self, *command: str) -> list[str]:
        """The command with this environment's programs."""
        modules = {"dvc": "dvc", "spatialgen": "spatialgen"}
        if command[0] in modules:
            return [sys.executable, "-m", modules[command[0]], *command[1:]]
        return [sys.executable if command[0] == "python" else command[0], *command[1:]]

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment of a user who has activated this virtual environment."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "SPATIALGEN_", "GIT_"))
        }
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Tester"), ("EMAIL", "tester@example.org"))
        }
        return {**inherited, **identity, "PATH": path, **extra}

    def commit(self, message: str) -> str:
        """Commit everything; the new commit."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)
        return self.run("git", "rev-parse", "HEAD").stdout.strip()

    def set_params(self, **values: object) -> None:
        """Rewrite single lines of params.yaml, by key, or by section__key where several have it."""
        lines = (self.root / "params.yaml").read_text(encoding="utf-8").splitlines()
        for key, value in values.items():
            section, _, name = key.rpartition("__")
            start = lines.index(f"{section}:") if section else 0
            found = [
                n for n, line in enumerate(lines) if line.startswith(f"  {name}:") and n > start
            ]
            assert section or len(found) == 1, f"{key} is in several sections"
            lines[found[0]] = f"  {name}: {value}"
        (self.root / "params.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def query(self, text: str, *options: str) -> list[dict[str, object]]:
        """The rows of `spatialgen sql`."""
        done = self.run("spatialgen", "sql", text, "--format", "json", *options)
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found

    def number(self, text: str, *options: str) -> int:
        """The column n of a query's first row."""
        return int(str(self.query(text, *options)[0]["n"]))

    def back(self, *stages: str) -> None:
        """The workspace as it was committed; `stages` that ran (default: all)."""
        self.run("git", "reset", "-q", "--hard")  # the index, too, where DVC puts its lock
        self.run("git", "clean", "-fdq")
        self.run("dvc", "checkout", *stages)

    def copy(self, root: Path) -> "Project":
        """The same at another place, its hard links among themselves included."""
        subprocess.run(["cp", "-a", str(self.root), str(root)], check=True)
        return Project(root, self.prefix)

    def clone(self, root: Path, *stages: str) -> "Project":
        """A clone with this one's cache, and the outs of `stages` (default: all)."""
        self.run("git", "clone", "-q", str(self.root), str(root))
        clone = Project(root)
        clone.run("dvc", "cache", "dir", "--local", str(self.root / ".dvc" / "cache"))
        clone.run("dvc", "checkout", *stages)
        return clone

    def start(self, *command: str, **env: str) -> subprocess.Popen[bytes]:
        """Run a command in the background, in a process group of its own."""
        return subprocess.Popen(
            self.resolve(*command),
            cwd=self.root,
            env=self.environment(**env),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill it and its group, and mend what DVC itself writes in place: see the README's
        pitfalls."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.run("git", "checkout", "-q", "HEAD", "--", "dvc.lock", "params.yaml")
        (self.root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)

    def manifest(self, table: str) -> str:
        """The text of a table's manifest."""
        return (self.root / "lake" / f"{table}.json").read_text(encoding="utf-8")

    def lake(self) -> Lake:
        """Its lake."""
        return Lake(self.root / "lake", store=self.root / ".lake")


def make_project(root: Path, prefix: list[str] | None = None) -> Project:
    """A project at `root` with the repository's files and a small sample, committed but not run."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(
        listed, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    for name in names.splitlines():
        if (REPOSITORY / name).is_file() and not name.startswith(("lake/", "metrics/", "dvc.lock")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, root / name)
    project = Project(root, prefix or [])
    project.set_params(rows=3000, shards=2, timeout_s=3, read_timeout_s=1, planted=20,
                       train_planner__steps=6, train_planner__every=3,
                       train_adapter__steps=6, train_adapter__every=3,
                       evaluate__captions=8, evaluate__steps=2)  # fmt: skip
    project.run("git", "init", "-q", "-b", "main")
    project.commit("start")
    return project


@pytest.fixture
def unrun(tmp_path: Path) -> Project:
    """A project that has not run yet."""
    return make_project(tmp_path / "project")


PREFIXES = ("candidates", "filter", "download", "all")  # of the pipeline, each with those before it

RunTo = Callable[[str, Path], Project]


@pytest.fixture(scope="session")
def run_to(tmp_path_factory: pytest.TempPathFactory) -> RunTo:
    """Copies of projects that have run up to one of PREFIXES and are committed.

    Each prefix runs once in a session, whichever worker comes first, in a copy of the one before;
    who copies may change anything.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def original(prefix: str) -> Project:
        folder, place = shared / f"run-{prefix}", PREFIXES.index(prefix)
        with (shared / f"run-{prefix}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                part = shared / f"run-{prefix}.part"
                shutil.rmtree(part, ignore_errors=True)
                before = original(PREFIXES[place - 1]).copy(part) if place else make_project(part)
                before.run("dvc", "repro", *([prefix] if prefix != "all" else []))
                before.commit(f"run {prefix}")
                part.rename(folder)
        return Project(folder, [])

    return lambda prefix, root: original(prefix).copy(root)


@pytest.fixture
def project(run_to: RunTo, tmp_path: Path) -> Project:
    """A project that has run stages sample and candidates and is committed."""
    return run_to("candidates", tmp_path / "project")


Complaint = Callable[..., str]


@pytest.fixture
def complaint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complaint:
    """Run a project's stage in this process; it must end with 1, and what it says is returned."""

    def said(project: Project, stage: str, *arguments: str) -> str:
        monkeypatch.delenv("SPATIALGEN_STORE", raising=False)
        monkeypatch.chdir(project.root)
        monkeypatch.setattr(sys, "argv", [stage, *arguments])
        assert run(importlib.import_module(f"pipeline.{stage}").main) == 1
        return capsys.readouterr().err

    return said


@pytest.fixture(scope="module")
def ran(run_to: RunTo, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has judged its captions and is committed; shared, so leave it as it was."""
    return run_to("filter", tmp_path_factory.mktemp("ran") / "project")
