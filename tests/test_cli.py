import json
import os
import signal
import subprocess
import time
import unicodedata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spatialgen.cli.app import app
from tests.conftest import Project


def display_width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def test_tables_lists_rows_version_size_and_digest(ran: Project) -> None:
    (candidates, captions, rejects) = json.loads(
        ran.run("spatialgen", "tables", "--format", "json").stdout
    )
    manifest = json.loads(ran.manifest("candidates"))
    assert candidates["table"] == "candidates"
    assert candidates["rows"] == manifest["rows"]
    assert candidates["digest"] == manifest["digest"][:12]
    assert candidates["MB"] > 0.01
    assert captions["rows"] == candidates["rows"]
    assert rejects["state"] == "ok"
    columns = ran.run("spatialgen", "tables", "candidates").stdout
    assert "Chinese caption" in columns
    missing = ran.run("spatialgen", "tables", "nope", check=False)
    assert "there is no table 'nope'; tables: candidates, captions, rejects" in missing.stderr


def test_sql_prints_aligned_chinese_csv_and_json(ran: Project) -> None:
    text = "select caption, length(caption) as n from candidates order by row_id limit 9"
    table = ran.run("spatialgen", "sql", text).stdout.splitlines()
    assert len({display_width(line) for line in table if line.strip()}) == 1
    printed = ran.run("spatialgen", "sql", text, "--format", "csv").stdout
    assert printed.splitlines()[0] == "caption,n"
    rows = json.loads(ran.run("spatialgen", "sql", text, "--format", "json").stdout)
    assert [len(row["caption"]) for row in rows] == [row["n"] for row in rows]


def test_repeated_column_names_keep_their_values(ran: Project) -> None:
    text = "select 1 as a, 2 as a, 'nan'::double as b"
    table = ran.run("spatialgen", "sql", text).stdout.split()
    assert table[-3:] == ["1", "2", "nan"]
    (row,) = json.loads(ran.run("spatialgen", "sql", text, "--format", "json").stdout)
    assert row == {"a": 1, "a_2": 2, "b": None}


def test_sql_runs_files_with_params_from_any_folder(ran: Project) -> None:
    query = str(ran.root / "queries" / "duplicates.sql")
    done = ran.run("spatialgen", "sql", query, "-p", "limit=3", "--format", "json")
    assert len(json.loads(done.stdout)) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sql", "queries/nope.sql"], "queries/nope.sql does not exist; queries: "),
        (["sql", "select 1", "-p", "x"], "-p x has no name=value"),
        (["sql", "queries/duplicates.sql", "-p", "limt=3"], "has no $limt; its params: limit"),
        (["sql", "select 1", "--at", ""], "there is no revision or experiment ''"),
        (["sql", "from images"], '"dvc repro" makes it'),
        (["sql", "delete from candidates"], "DELETE is not allowed"),
        (["sql", "select 1", "--at", "nope"], "there is no revision or experiment 'nope'"),
    ],
)
def test_mistakes_end_in_one_sentence(ran: Project, arguments: list[str], words: str) -> None:
    done = ran.run("spatialgen", *arguments, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_has_help() -> None:
    commands = [[], ["sql"], ["tables"], ["store"], ["store", "seed"], ["store", "gc"]]
    for command in commands:
        result = CliRunner().invoke(app, [*command, "--help"])
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 5


def test_outside_a_project_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["tables"])
    assert "is in no spatialgen project" in str(result.exception)
    assert os.getcwd() in str(result.exception)


def test_a_long_query_hears_ctrl_c(ran: Project) -> None:
    endless = "select sum(hash(i)) from range(30000000000) t(i)"
    process = subprocess.Popen(
        ran.resolve("spatialgen", "sql", endless),
        cwd=ran.root,
        env=ran.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "interrupted: everything committed so far is kept\n"
