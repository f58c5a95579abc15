"""Looking after the store: filling it from pulled tables, and removing what nothing names."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
import yaml

from spatialgen.errors import LakeError
from spatialgen.lake.history import git
from spatialgen.lake.lake import Lake, Table
from spatialgen.lake.links import files_under, link_tree
from spatialgen.lake.publish import adopt_fragments, holds
from spatialgen.lake.schemas import TABLES, is_blob


def seed_store(lake: Lake) -> pa.Table:
    """Make the store know what `dvc pull` brought: one row per table, and what was done with it.

    Content is read once and compared with its manifest: what does not agree is not taken over. The
    bytes of blobs are left to DVC's own checksums.
    """
    rows = []
    for name in lake.tables():
        try:
            rows.append(
                {"table": name, "rows": lake[name].count_rows(), "store": _seed(lake[name])}
            )
        except LakeError as error:
            rows.append({"table": name, "rows": None, "store": str(error)})
    schema = pa.schema([("table", pa.string()), ("rows", pa.int64()), ("store", pa.string())])
    return pa.Table.from_pylist(rows, schema=schema)


def _seed(table: Table) -> str:
    manifest, dataset, spec = table.manifest, table.dataset(), TABLES.get(table.name)
    if spec is None:
        return "skipped: no table of this version of spatialgen"
    if not holds(table.path, manifest):
        raise LakeError(
            f"{table.path} does not hold what its manifest says; "
            f'restore it with "dvc checkout --force {table.path}"'
        )
    place = table.lake.published / table.name / manifest.digest
    known = holds(place, manifest)
    if not known:
        link_tree(table.path, place)
    if any(map(is_blob, dataset.schema)):
        stored = table.lake.stored(table.name, spec.schema)
        added = adopt_fragments(spec, lance.dataset(str(place)), stored)
        return f"{added} rows added"
    return "already there" if known else "added"


def is_current(stage: str, model: str | None = None) -> bool:
    """Whether the stage's outs come from today's params, code and `model`, as far as DVC sees.

    DVC sees a model that is a dependency of the stage, or a hub id (a param, with its revision),
    but not what is in a folder elsewhere.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json", stage]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or json.loads(done.stdout):
        return False
    if model is None:
        return True
    lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
    watched = [dep["path"] for dep in lock["stages"][stage]["deps"]]
    return model in watched or not Path(model).expanduser().is_dir()


def collect_garbage(lake: Lake, *, min_age_s: float, dry_run: bool) -> pa.Table:
    """Remove published versions that no manifest names, and scratch: one row per folder removed.

    Manifests count wherever this repository's git knows them (every branch, tag, stash, experiment
    and the index) and in workspaces. The memo itself stays: it is what makes going back free. On a
    shared store, versions that only other clones name go, too; DVC's cache still has them.
    """
    named = set(_named_digests(lake))
    youngest = time.time() - min_age_s
    rows = []
    for path in sorted([*_versions(lake), *_scratch(lake)]):
        keep = (path.parent.name, path.name) in named
        if keep or path.stat().st_mtime > youngest:
            continue
        files = files_under(path) if path.is_dir() else [path]
        freed = sum(file.stat().st_size for file in files if file.stat().st_nlink == 1)
        rows.append({"removed": str(path), "freed_MB": freed / 1e6})
        if not dry_run:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    schema = pa.schema([("removed", pa.string()), ("freed_MB", pa.float64())])
    return pa.Table.from_pylist(rows, schema=schema)


def _versions(lake: Lake) -> Iterator[Path]:
    return (path for path in lake.published.glob("*/*") if not path.name.startswith("."))


def _scratch(lake: Lake) -> Iterator[Path]:
    for folder in (*lake.published.glob("*"), lake.store_root / "store", lake.root):
        yield from folder.glob(".*.tmp")
    yield from lake.spill.glob("*")


def _named_digests(lake: Lake) -> Iterator[tuple[str, str]]:
    """(table, digest) of every manifest in git, in the workspace and in running experiments."""
    project, folder = lake.root.absolute().parent, lake.root.name
    history = ("rev-list", "--all", "--reflog", "--full-history", "--objects", "--", folder)
    listed = git(project, *history) + git(project, "ls-files", "--stage", "--", folder)
    blobs = {
        word
        for line in listed.splitlines()
        if line.endswith(".json")
        for word in line.split()
        if re.fullmatch(r"[0-9a-f]{40,64}", word)
    }
    texts = {blob: git(project, "cat-file", "blob", blob) for blob in sorted(blobs)}
    experiments = project / ".dvc" / "tmp" / "exps"
    for workspace in (project, *experiments.glob("*/"), *experiments.glob("*/*/")):
        for path in (workspace / folder).glob("*.json"):
            texts[str(path)] = path.read_text(encoding="utf-8")
    for source, text in texts.items():
        try:
            manifest = json.loads(text)
        except ValueError:
            raise LakeError(
                f"{source} is no JSON, so nobody knows what it names; resolve its conflict first"
            ) from None
        if isinstance(manifest, dict) and {"table", "digest"} <= manifest.keys():
            yield manifest["table"], manifest["digest"]
