import random
import re
from pathlib import Path

import duckdb
import lance
import pyarrow as pa
import pytest

from spatialgen.errors import LakeError, QueryError
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import BOXES, CANDIDATES, DOWNLOADS, IMAGES, REJECTS
from spatialgen.lake.schemas import CAPTIONS as JUDGED
from spatialgen.lake.sql import parse_value, run_query
from spatialgen.metrics import write_metrics
from spatialgen.statistics import wilson
from tests.conftest import REPOSITORY, picture_table

QUERIES = sorted((REPOSITORY / "queries").rglob("*.sql"))
CAPTIONS = ["左边是猫", "右边是狗", "左边是猫", "手机上市"]


@pytest.fixture
def filled(lake: Lake) -> Lake:
    """A lake with candidates, rejects, a blob table, a run and metrics."""
    ids = list(range(4))
    urls = [f"http://a/{n}" for n in ids]
    candidates = pa.record_batch([ids, urls, CAPTIONS], names=["row_id", "url", "caption"])
    lake.publish(CANDIDATES, [candidates])
    judged = {
        "row_id": pa.array(ids, pa.int64()),
        "url": pa.array(urls),
        "caption": pa.array(CAPTIONS),
        "spatial_type": pa.array(["strong", "weak", None, "none"]),
        "p_strong": pa.array([0.9, 0.1, None, 0.1], pa.float32()),
        "p_weak": pa.array([0.05, 0.6, None, 0.1], pa.float32()),
        "p_none": pa.array([0.05, 0.3, None, 0.8], pa.float32()),
        "tier": pa.array(["tiny", "tiny", None, "tiny"]),
        "error": pa.array([None, None, "too_long: 600 tokens", None]),
    }
    rows = pa.RecordBatch.from_arrays(list(judged.values()), schema=JUDGED.schema)
    lake.publish(JUDGED, [rows])
    reject = pa.record_batch(
        [["1.csv"], pa.array([7], pa.int64()), ["empty_url"], [",左"]],
        names=["file", "line", "reason", "raw"],
    )
    lake.publish(REJECTS, [reject])
    pictures = picture_table([b"bytes", b"other bytes"])
    near = pa.array([-(2**63) + 7, -(2**63) + 6], pa.int64())
    pictures = pictures.set_column(6, IMAGES.schema.field("phash"), near)
    images = lake.stored("images", IMAGES.schema)
    images.append(pictures)
    stored = images.open()
    assert stored
    lake.publish_blobs(IMAGES, stored, pictures.select(["sha256"]))
    first, second = pictures["sha256"].to_pylist()
    downloads = {
        "row_id": pa.array(ids, pa.int64()),
        "sha256": pa.array([first, first, second, None]),
        "status": pa.array(["ok", "ok", "ok", "permanent"]),
        "reason": pa.array([None, None, None, "gone"]),
        "http_status": pa.array([200, 200, 200, 404], pa.int32()),
        "host": pa.array(["a", "a", "a", "b"]),
    }
    lake.publish(DOWNLOADS, [pa.record_batch(list(downloads.values()), schema=DOWNLOADS.schema)])
    lake.publish(BOXES, [pa.RecordBatch.from_pylist(annotated(first, second), schema=BOXES.schema)])
    for stage in ("candidates", "download"):
        with lake.run(stage, "fp") as run:
            run.rows_total = run.rows_computed = 4
    counts = {"records": 9, "rejected": 1, "unmatched": 3, "duplicates": 1, "candidates": 4}
    write_metrics("candidates", counts, lake.root.parent / "metrics")
    write_metrics("filter", {"strong": 1, "weak": 1}, lake.root.parent / "metrics")
    write_metrics("download", {"rows": 4, "ok": 3}, lake.root.parent / "metrics")
    write_metrics("annotate", {"rows": 3, "boxed": 2}, lake.root.parent / "metrics")
    write_metrics("split", {"rows": 3, "train": 2}, lake.root.parent / "metrics")
    return lake


def annotated(first: str, second: str) -> list[dict[str, object]]:
    """Rows of the boxes table: one that agrees, one that fails, one without an answer."""
    thing = {"name": "猫", "bbox": [0.1, 0.2, 0.4, 0.6], "self_iou": 0.9}
    stated = {"relation": "left", "subject": "猫", "objects": ["狗"]}
    look = {"view": "plain", "family": "qwen2_vl", "text": "猫", "finished": True}
    row = {"row_id": 0, "sha256": first, "objects": [thing, thing | {"name": "狗"}], "absent": [],
           "relations": [stated | {"agrees": True}], "spatial_agree": True, "self_iou": 0.9,
           "problems": ["duplicate"], "raw": [look]}  # fmt: skip
    failing = {"row_id": 1, "relations": [stated | {"agrees": False}], "spatial_agree": False,
               "objects": [thing], "absent": ["狗"], "problems": []}  # fmt: skip
    empty = {"row_id": 2, "sha256": second, "objects": [], "relations": [], "problems": [],
             "spatial_agree": None, "self_iou": None, "raw": [],
             "error": "no_names: the caption names nothing that could be boxed"}  # fmt: skip
    return [row, row | failing, row | empty]


def query(lake: Lake, text: str, **params: object) -> list[dict[str, object]]:
    (table,) = run_query(lake, text, params)
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_every_shipped_query_states_its_question_and_answers_it(filled: Lake, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.match(r"-- .+\?\n", text), "the first line is the question"
    assert query(filled, text)


def test_funnel_adds_up(filled: Lake) -> None:
    rows = query(filled, (REPOSITORY / "queries" / "funnel.sql").read_text())
    assert [row["records"] for row in rows] == [9, 1, 3, 1, 4, 1, 1, 4, 3, 3, 2, 1, 2]
    assert sum(row["share"] for row in rows[1:5]) == pytest.approx(1, abs=1e-3)  # type: ignore[misc]


def test_the_funnel_ends_where_the_pipeline_has_come_to(filled: Lake) -> None:
    for stage in ("annotate", "split"):
        (filled.root.parent / "metrics" / f"{stage}.json").unlink()
    (filled.root / "boxes.json").unlink()
    assert shipped(filled, "funnel")[-1]["step"] == "with a picture"


def test_relation_words_counts_captions(filled: Lake) -> None:
    rows = query(filled, (REPOSITORY / "queries" / "relation_words.sql").read_text())
    by_word = {row["word"]: row for row in rows}
    assert by_word["左"]["captions"] == 2
    assert by_word["左"]["share"] == 0.5
    assert by_word["左"]["example"] == "左边是猫"
    assert by_word["顶"]["captions"] == 0
    text = (REPOSITORY / "queries" / "relation_words.sql").read_text(encoding="utf-8")
    (constant,) = re.findall(r"list_filter\(.*?\[(.*?)\]", text, re.DOTALL)
    assert set(re.findall(r"'(.+?)'", constant)) == set(by_word), "both lists of words agree"
    other = (REPOSITORY / "queries" / "words_by_class.sql").read_text(encoding="utf-8")
    assert constant in other, "and so does the list of words_by_class"


def shipped(lake: Lake, name: str, **params: object) -> list[dict[str, object]]:
    return query(lake, (REPOSITORY / "queries" / f"{name}.sql").read_text("utf-8"), **params)


def test_near_duplicates_differ_in_few_bits(filled: Lake) -> None:
    (pair,) = shipped(filled, "near_duplicates")
    assert (pair["distance"], pair["pairs"]) == (1, 1)
    assert pair["picture"] != pair["alike"]
    assert shipped(filled, "near_duplicates", distance=0) == []


def test_a_picture_behind_many_captions_is_a_placeholder(filled: Lake) -> None:
    (placeholder,) = shipped(filled, "placeholders")
    assert placeholder["captions"] == 2


def test_hosts_have_wilson_intervals_and_a_commonest_failure(filled: Lake) -> None:
    rows = shipped(filled, "download_hosts")
    assert [(row["host"], row["urls"], row["ok"]) for row in rows] == [("a", 3, 3), ("b", 1, 0)]
    for row, expected in zip(rows, (wilson(3, 3), wilson(0, 1)), strict=True):
        assert row["share"] == expected.value
        assert row["lo"] == pytest.approx(expected.lo, abs=1e-4)
        assert row["hi"] == pytest.approx(expected.hi, abs=1e-4)
    assert rows[1]["failure"] == "gone"


def test_filtering_first_saves_what_is_not_downloaded(filled: Lake) -> None:
    everything, first = shipped(filled, "filter_first")
    assert (everything["rows"], first["rows"]) == (9, 4)
    assert (everything["storage_saved"], first["storage_saved"]) == (0, round(1 - 4 / 9, 4))


def test_class_shares_have_wilson_intervals(filled: Lake) -> None:
    rows = {row["class"]: row for row in shipped(filled, "class_shares")}
    assert list(rows) == ["failed", "none", "strong", "weak", "spatial"]
    expected = wilson(2, 4)
    spatial = rows["spatial"]
    assert (spatial["captions"], spatial["share"]) == (2, 0.5)
    assert spatial["lo"] == pytest.approx(expected.lo, abs=1e-4)
    assert spatial["hi"] == pytest.approx(expected.hi, abs=1e-4)


def test_words_by_class_counts_captions_with_an_answer(filled: Lake) -> None:
    rows = {row["word"]: row for row in shipped(filled, "words_by_class")}
    assert (rows["左"]["captions"], rows["左"]["strong"], rows["左"]["example"]) == (
        1,
        1,
        "左边是猫",
    )
    assert (rows["边"]["captions"], rows["边"]["weak"], rows["边"]["lift"]) == (2, 0.5, 1.5)
    assert (rows["上"]["none"], rows["上"]["example"]) == (1, None)


def test_the_histogram_the_uncertain_and_the_failed(filled: Lake) -> None:
    bins = shipped(filled, "probability_histogram", bins=4)
    assert [(row["p_spatial"], row["captions"]) for row in bins] == [(0, 1), (0.5, 1), (0.75, 1)]
    uncertain = shipped(filled, "uncertain", limit=1)
    assert [row["caption"] for row in uncertain] == ["右边是狗"]
    (failed,) = shipped(filled, "failures")
    assert (failed["kind"], failed["captions"], failed["share"]) == ("too_long", 1, 0.25)


def test_duplicates_takes_its_default_param(filled: Lake) -> None:
    text = (REPOSITORY / "queries" / "duplicates.sql").read_text()
    assert [(row["caption"], row["urls"]) for row in query(filled, text)] == [("左边是猫", 2)]
    assert query(filled, text, limit=0) == []


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
