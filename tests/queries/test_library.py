"""What holds for every file of queries/: a question, columns with a meaning, params, a test."""

import ast
import re
from pathlib import Path

import pytest

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import RUNS_SCHEMA, TABLES
from spatialgen.lake.sql import parse_params, run_query
from tests.conftest import REPOSITORY

QUERIES = sorted((REPOSITORY / "queries").glob("*.sql"))  # checks have tests of their own
PUBLISHED = {name for spec in TABLES.values() for name in spec.schema.names} | {*RUNS_SCHEMA.names}


def defined_tests() -> set[str]:
    files = Path(__file__).parent.glob("test_*.py")
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return {
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }


def test_every_query_has_a_test_of_its_name() -> None:
    tests = defined_tests()
    untested = [
        path.stem
        for path in QUERIES
        if not any(re.fullmatch(rf"test_{path.stem}(_\w+)?", test) for test in tests)
    ]
    assert untested == [], "add test_<name of the query> to tests/queries"


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_every_query_explains_itself(counted: Lake, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = re.match(r"(?:--.*\n)+", text)
    assert header
    assert re.match(r"-- .+\?\n", text), "the first line is the question"
    statement = text[header.end() :]
    params = parse_params(text, {})
    assert set(re.findall(r"\$(\w+)", statement)) == set(params), "its params have defaults"
    (table,) = run_query(counted, text, {})
    explained = set(re.findall(r"\w+", header.group()))
    for column in set(table.column_names) - PUBLISHED - explained:
        assert set(column.split("_")) <= explained, f"{column} is not explained in the header"
