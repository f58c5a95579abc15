"""Promises that hold between files."""

import ast
import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import spatialgen
from spatialgen.checks import SECTIONS
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import MEMO_COLUMNS, RUNS_SCHEMA, TABLES, is_blob
from spatialgen.params import Params
from tests.conftest import REPOSITORY

DVC: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = DVC["stages"]
MODULE = re.compile(r"python -m (\S+)")
IMPORTS = """
import importlib, sys
for name in {modules}:
    importlib.import_module(name)
for name, module in sorted(sys.modules.items()):
    if name.split(".")[0] in ("spatialgen", "pipeline"):
        print(module.__file__)
"""
# What a stage's command starts as a process of its own.
SERVED = {"download": ["spatialgen.sample.server"]}
# Imports inside functions, which no stage reaches: their modules are in no stage's deps.
LATE_IMPORTS = {("spatialgen/lake/lake.py", "spatialgen.lake.sql")}


def only_a_docstring(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) for node in body)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_are_the_modules_that_the_stage_imports(stage: str) -> None:
    modules = MODULE.findall(STAGES[stage]["cmd"]) + SERVED.get(stage, [])
    command = [sys.executable, "-c", IMPORTS.format(modules=modules)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in done.stdout.splitlines()]
    imported = {p.relative_to(REPOSITORY).as_posix() for p in paths if not only_a_docstring(p)}
    declared = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert sorted(declared) == sorted(imported), f"deps of {stage} in dvc.yaml"


def test_late_imports_are_known() -> None:
    found = set()
    for path in (REPOSITORY / "spatialgen").rglob("*.py"):
        name = path.relative_to(REPOSITORY).as_posix()
        if name.startswith("spatialgen/cli/"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                found |= {
                    (name, node.module)
                    for node in ast.walk(function)
                    if isinstance(node, ast.ImportFrom)
                    if node.module and node.module.startswith("spatialgen")
                }
    assert found == LATE_IMPORTS


def test_every_stage_has_its_file_and_its_section() -> None:
    files = {path.stem for path in (REPOSITORY / "pipeline").glob("[!_]*.py")}
    assert files == set(STAGES)
    assert set(Params.model_fields) == {*STAGES, "compute"}
    for name, stage in STAGES.items():
        assert stage["cmd"].endswith(f"python -m pipeline.{name}")
        several = {
            "report": sorted(STAGES),
            "check": [*SECTIONS],
            "train_adapter": ["encode", "train_adapter"],  # encode.model is its base
            "evaluate": ["encode", "evaluate", "train_adapter"],
        }
        assert stage["params"] == several.get(name, [name]), "compute is in no stage's params"


def test_every_table_is_published_by_its_stage_with_its_manifest() -> None:
    for spec in TABLES.values():
        if spec.stage in STAGES:
            stage = STAGES[spec.stage]
            assert f"lake/{spec.name}.lance" in stage["outs"]
            assert {f"lake/{spec.name}.json": {"cache": False}} in stage["metrics"]


def test_the_readme_shows_the_numbers_of_the_shipped_tables() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in ("boxes", "candidates", "captions", "downloads", "images", "rejects", "splits"):
        manifest = Manifest.read(REPOSITORY / "lake" / f"{name}.json")
        assert manifest is not None
        assert manifest.digest[:12] in readme
        assert f" {manifest.rows} " in readme


def test_every_column_says_what_it_holds() -> None:
    schemas = [*(spec.schema for spec in TABLES.values()), RUNS_SCHEMA, MEMO_COLUMNS]
    for schema in schemas:
        for column in schema:
            assert is_blob(column) or column.metadata[b"comment"], column.name


def test_public_names_load_and_nothing_else_does() -> None:
    assert spatialgen.__all__ == sorted(spatialgen.__all__)
    for name in spatialgen.__all__:
        assert getattr(spatialgen, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        spatialgen.nope  # noqa: B018


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import spatialgen", ["torch", "diffusers", "lance", "duckdb", "pyarrow", "dvc"]),
        (
            "from spatialgen.lake.sql import run_query; from spatialgen.cli.app import app",
            ["torch", "diffusers", "transformers", "lancedb", "dvc"],
        ),
    ],
)
def test_imports_stay_light(code: str, heavy: list[str]) -> None:
    check = f"import sys; {code}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_lock_is_of_the_params_and_metrics_in_git() -> None:
    """So what git holds comes from one run of the pipeline; that it would come again is slow."""
    lock = yaml.safe_load((REPOSITORY / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    assert set(lock) == set(STAGES)
    for stage, locked in lock.items():
        for section, values in locked["params"]["params.yaml"].items():
            assert values == params[section], f"params of {stage}"
        for out in locked["outs"]:
            if out["path"].endswith(".json"):
                found = hashlib.md5((REPOSITORY / out["path"]).read_bytes()).hexdigest()
                assert found == out["md5"], out["path"]
