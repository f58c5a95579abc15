import random
import shutil
from pathlib import Path

import duckdb
import lance
import pyarrow as pa
import pytest

from spatialgen.errors import LakeError, QueryError
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES, IMAGES, REJECTS
from spatialgen.lake.sql import parse_value, run_query
from tests.conftest import picture_table

CAPTIONS = ["左边是猫", "右边是狗", "左边是猫", "手机上市"]


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """A lake with candidates, rejects, a blob table and runs."""
    ids = list(range(4))
    urls = [f"http://a/{n}" for n in ids]
    candidates = pa.record_batch([ids, urls, CAPTIONS], names=["row_id", "url", "caption"])
    lake.publish(CANDIDATES, [candidates])
    reject = pa.record_batch(
        [["1.csv"], pa.array([7], pa.int64()), ["empty_url"], [",左"]],
        names=["file", "line", "reason", "raw"],
    )
    lake.publish(REJECTS, [reject])
    pictures = picture_table([b"bytes", b"other bytes"])
    images = lake.stored("images", IMAGES.schema)
    images.append(pictures)
    stored = images.open()
    assert stored
    lake.publish_blobs(IMAGES, stored, pictures.select(["sha256"]))
    for stage in ("candidates", "download"):
        with lake.run(stage, "fp") as run:
            run.rows_total = run.rows_computed = 4
    return lake


def query(lake: Lake, text: str, **params: object) -> list[dict[str, object]]:
    (table,) = run_query(lake, text, params)
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def test_params_are_values_and_never_sql(filled: Lake) -> None:
    hostile = "'; select 1; --"
    assert query(filled, "select $x as x", x=hostile) == [{"x": hostile}]
    with pytest.raises(QueryError, match=r"\$x has no value: add -p x=VALUE"):
        query(filled, "select $x")
    assert [parse_value(text) for text in ("2", "2.5", "true", "null", '"2"', "左")] == [
        *[2, 2.5, True, None],
        *["2", "左"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "copy candidates to 'x.csv'",
        "create table x as from candidates",
        "drop view candidates",
        "attach 'x.duckdb'",
        "install httpfs",
        "load httpfs",
        "set memory_limit = '1TB'",
        "insert into candidates values (1, 'u', 'c')",
        "explain analyze copy candidates to 'x.csv'",
        "explain (format json) copy candidates to 'x.csv'",
        "explain /* x */ analyze copy candidates to 'x.csv'",
        "export database 'x'",
        "call enable_logging()",
        "select 1; copy candidates to 'x.csv'",
    ],
)
def test_nothing_can_be_written(
    filled: Lake, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(QueryError):
        list(run_query(filled, text, {}))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "text",
    [
        "explain analyze select count(*) from candidates",
        "summarize candidates",
        "describe images",
        "show tables",
        "with c as (from candidates) select * from c",
    ],
)
def test_reading_is_not_hindered(filled: Lake, text: str) -> None:
    assert query(filled, text)


def test_blobs_are_hidden_and_everything_else_is_there(filled: Lake) -> None:
    (row,) = query(filled, "from images where n_bytes = 5")
    assert "image" not in row
    assert query(filled, "select count(*) as n from store.images") == [{"n": 2}]
    assert query(filled, "select stage, rows_total from runs order by stage") == [
        {"stage": "candidates", "rows_total": 4},
        {"stage": "download", "rows_total": 4},
    ]
    assert query(filled, "select value from metrics where file = 'lake/rejects' and name = 'rows'")


def test_a_broken_table_stops_only_queries_on_it(filled: Lake) -> None:
    (filled["rejects"].path / "manifest.json").unlink()
    assert query(filled, "select count(*) as n from candidates") == [{"n": 4}]
    with pytest.raises(LakeError, match="dvc checkout"):
        query(filled, "from rejects")
    (filled.store_root / "store" / "broken.lance").mkdir()
    assert "rejects" not in {row["name"] for row in query(filled, "show tables")}


def test_mistakes_are_one_error_with_the_cause(filled: Lake) -> None:
    with pytest.raises(QueryError, match='column "captoin" not found'):
        query(filled, "select captoin from candidates")
    with pytest.raises(QueryError, match="cannot be parsed"):
        query(filled, "selec 1")
    with pytest.raises(QueryError, match="the query is empty"):
        list(run_query(filled, "-- nothing", {}))


def test_the_lake_object_answers_sql(filled: Lake) -> None:
    table = filled.sql("select caption from candidates where row_id = $id", id=1)
    assert table.to_pylist() == [{"caption": "右边是狗"}]


def test_duckdb_over_lance_agrees_with_duckdb_alone(tmp_path: Path) -> None:
    """Filters are pushed down into Lance: random ones must select what DuckDB itself selects."""
    rng = random.Random(11)
    rows = [
        {
            "i": rng.choice([None, -1, 0, 1, 2]),
            "f": rng.choice([None, -0.5, 0.0, float("inf"), 0.5]),
            "s": rng.choice([None, "", "左", "a'b"]),
            "b": rng.choice([None, True, False]),
        }
        for _ in range(300)
    ]
    kinds = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "b": pa.bool_()}
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
    dataset = lance.write_dataset(table, str(tmp_path / "t.lance"))
    connection = duck.connect()
    connection.register("pushed", dataset)
    connection.execute("create table own as from pushed")

    def predicate(depth: int = 0) -> str:
        if depth < 2 and rng.random() < 0.5:
            joint = rng.choice([" and ", " or "])
            return f"({predicate(depth + 1)}{joint}{predicate(depth + 1)})"
        column = rng.choice("ifsb")
        values = {"i": ["-1", "0", "1.5"], "f": ["0.0", "0.5"], "s": ["''", "'左'"], "b": ["true"]}
        value = rng.choice(values[column])
        test = rng.choice(
            [f"= {value}", f"<> {value}", f"< {value}", ">= " + value, "is null", f"in ({value})"]
        )
        return f"{rng.choice(['', 'not '])}{column} {test}"

    try:
        for _ in range(150):
            where = predicate()
            counts = [
                connection.execute(
                    f"select count(*), sum(i), min(s) from {name} where {where}"
                ).fetchall()
                for name in ("pushed", "own")
            ]
            assert counts[0] == counts[1], where
    finally:
        connection.close()
    assert duckdb.__version__ >= "2"


@pytest.mark.parametrize(
    "name", ["old.rejects", '"old"."rejects"', 'OLD . "rejects"', '"old".rejects']
)
def test_tables_of_other_states_are_found_however_they_are_written(filled: Lake, name: str) -> None:
    shutil.rmtree(filled.root / "rejects.lance")  # the main state's is not asked for
    other = Lake(filled.root.parent / "other" / "lake", store=filled.store_root)
    rows = [{"file": "a.csv", "line": 1, "reason": "r", "raw": "x"}]
    other.publish(REJECTS, [pa.RecordBatch.from_pylist(rows, schema=REJECTS.schema)])
    (found,) = run_query(filled, f"select count(*) as n from {name}", {}, {"old": other})
    assert found["n"].to_pylist() == [1]
