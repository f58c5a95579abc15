"""Earlier states of the lake: git says which content a revision had, DVC has the content."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import lance

from spatialgen.errors import LakeError
from spatialgen.lake.lake import DOCUMENT_FOLDERS, Lake
from spatialgen.lake.links import scratch_beside
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.publish import is_sound, settle
from spatialgen.lake.sql import Snapshot


class Revision:
    """The lake at a git revision or DVC experiment, resolved through its manifests.

    Tables come from the store where it still has them, else from DVC's cache or remote, and stay in
    the store from then on.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        self.lake = lake
        self.name = name
        self.project = lake.root.absolute().parent
        self.commit = resolve(self.project, name)

    @property
    def spill(self) -> Path:
        """As the lake's."""
        return self.lake.spill

    def stores(self) -> Mapping[str, lance.LanceDataset]:
        """As the lake's: the store has no revisions."""
        return self.lake.stores()

    def tables(self) -> list[str]:
        """Names of the tables that had a manifest."""
        return [path.stem for path in self._listed(self.lake.root.name)]

    def manifest(self, table: str) -> Manifest:
        """What the table held."""
        path = f"{self.lake.root.name}/{table}.json"
        return Manifest.parse(self._read(path), f"{path} at {self.name}")

    def path(self, table: str) -> Path:
        """A folder with what the table held."""
        manifest = self.manifest(table)
        place = self.lake.published / table / manifest.digest
        if not is_sound(place, manifest):
            self._fetch(table, manifest, place)
        return place

    def documents(self) -> Mapping[str, str]:
        """Texts of its manifests and metrics, by path without .json."""
        return {
            f"{folder}/{path.stem}": self._read(path.as_posix())
            for folder in DOCUMENT_FOLDERS
            for path in self._listed(folder)
        }

    def _listed(self, folder: str) -> list[Path]:
        names = git(self.project, "ls-tree", "--name-only", self.commit, f"./{folder}/")
        return [Path(name) for name in names.splitlines() if name.endswith(".json")]

    def _read(self, path: str) -> str:
        return git(self.project, "show", f"{self.commit}:./{path}")

    def _fetch(self, table: str, manifest: Manifest, place: Path) -> None:
        scratch = scratch_beside(place)
        scratch.parent.mkdir(parents=True, exist_ok=True)
        out = f"{self.lake.root.name}/{table}.lance"
        command = ["get", str(self.project), out, "--rev", self.commit, "-o", str(scratch)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "dvc", *command], capture_output=True, text=True, check=False
            )
            if done.returncode or not is_sound(scratch, manifest):
                said = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
                reason = (said or ["its content is another"])[-1]
                raise LakeError(
                    f"{table} at {self.name} is in neither store, cache nor remote "
                    f"({reason.removeprefix('ERROR: ')}); "
                    "ask whoever made it to `dvc push`, or `dvc repro` that revision"
                )
            settle(scratch, place, manifest)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def committed(lake: Lake) -> Snapshot:
    """The lake as it was last committed; as it is, where nothing has been committed yet."""
    try:
        return Revision(lake, "HEAD")
    except LakeError:
        return lake


def resolve(project: Path, name: str) -> str:
    """The commit of a git revision or an experiment's name."""
    for candidate in (name, *_experiments(project, name)):
        try:
            return git(
                project, "rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}"
            ).strip()
        except LakeError:
            continue
    raise LakeError(f'there is no revision or experiment {name!r}; see "git log", "dvc exp show"')


def _experiments(project: Path, name: str) -> list[str]:
    refs = git(project, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
    return [ref for ref in refs if ref.split("/")[-1] == name]


def git(project: Path, *arguments: str) -> str:
    """What a git command prints; raises LakeError with git's own words where it fails."""
    done = subprocess.run(
        ["git", "-c", "core.quotepath=off", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LakeError(f"git {arguments[0]}: {done.stderr.strip() or 'nothing found'}")
    return done.stdout
