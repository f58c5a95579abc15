"""Gold rows: read, planted with names, measured."""

import json

import pytest

from spatialgen.errors import InputError, ParamsError
from spatialgen.grounding.gold import measure, planted_rows, read_given, read_gold
from spatialgen.grounding.metrics import write_recall_plot
from spatialgen.grounding.pictures import Pictures
from spatialgen.grounding.stage import Annotate, asked_rows
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from tests.grounding.annotating import (
    LEFT,
    RIGHT,
    SAID,
    annotate,
    boxes,
    fill,
    oracle,
    picture,
)


def test_gold_measures_and_plants_names(lake, params, tmp_path):
    captions = [caption for caption, _ in SAID[:3]]
    keys = fill(lake, captions, [picture(n) for n in range(3)])
    gold = tmp_path / "gold.jsonl"
    lines = [
        {"row_id": keys[captions[0]],
         "objects": [{"name": "小猫", "bbox": RIGHT}, {"name": "箱子", "bbox": LEFT}]},
        {"url": "http://a/2", "caption": captions[2], "objects": [{"name": "灯笼", "bbox": LEFT}]},
    ]  # fmt: skip
    gold.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    params = params.model_copy(update={"gold": str(gold)})
    known = read_gold(params)
    assert set(known) == {keys[captions[0]], keys[captions[2]]}
    stage, asked, _ = annotate(lake, params, oracle(params))
    planted = planted_rows(asked["plain"], known, "{names}", params)
    assert planted.num_rows == 2
    for row in planted.to_pylist():
        (name,) = set(row["names"]) - known[row["row_id"]].shown
        assert name not in row["caption"]
        assert name in row["question"]
    liar = oracle(params)
    pictures = Pictures(lake["images"].dataset())
    lying = type(stage)(**vars(stage) | {"open": lambda device: Annotate(liar, pictures, ahead=4)})
    answer_rows(lake, lying, planted, Inline("cpu"), quiet=True)
    scores = measure(lake, stage, known, planted, params)
    figures = scores.measured()
    assert figures["recall_50"].value == pytest.approx(2 / 3), "灯笼 is missed"
    assert figures["mean_iou"].value == pytest.approx(1, abs=0.02)
    # The oracle boxes 小猫 and 箱子 wherever they are asked for, and never 灯笼.
    named = [set(row["names"]) - known[row["row_id"]].shown for row in planted.to_pylist()]
    lies = sum(name != {"灯笼"} for name in named)
    assert (figures["false_box_rate"].n, figures["false_box_rate"].value) == (2, lies / 2)
    write_recall_plot(scores, tmp_path / "plot.csv")
    assert len((tmp_path / "plot.csv").read_text().splitlines()) == 22
    assert planted_rows(asked["plain"], known, "{caption}", params).num_rows == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "row 2 has no row_id"),
        ('{"objects": []}', "row 2 has no row_id"),
        ('{"row_id": 1, "objects": [{"name": "猫", "bbox": [0.5, 0, 0.1, 1]}]}', r"is no \[x1, y1"),
        ('{"row_id": 1, "objects": [{"name": "猫", "bbox": [10, 0, 90, 100]}]}', r"is no \[x1, y1"),
        ("[1]", "row 2 has no row_id"),
        ('{"row_id": 7, "objects": []}', "row 2 repeats row_id 7"),
        ('{"row_id": 18446744073709551616, "objects": []}', "is no 64-bit integer"),
        ('{"row_id": true, "objects": []}', "is no 64-bit integer"),
        ('{"row_id": 1, "objects": [{"name": 5, "bbox": [0, 0, 1, 1]}]}', "name 5 is no text"),
        ("[" * 100_000, "row 2 has no row_id"),
    ],
)
def test_a_wrong_row_is_named(params, tmp_path, line, words):
    path = tmp_path / "gold.jsonl"
    path.write_text('{"row_id": 7, "objects": []}\n' + line)
    for param, read in (("gold", read_gold), ("given", read_given)):
        with pytest.raises(InputError, match=words):
            read(params.model_copy(update={param: str(path)}))
        missing = params.model_copy(update={param: str(tmp_path / "missing.parquet")})
        with pytest.raises(InputError, match=rf"annotate.{param} = .*missing.parquet cannot be"):
            read(missing)


def test_given_boxes_are_taken_and_nothing_is_asked_or_measured(lake, params, tmp_path):
    captions = [caption for caption, _ in SAID[:3]]
    keys = fill(lake, captions, [picture(n) for n in range(3)])
    given, none = keys[captions[0]], keys[captions[2]]
    lines = [
        {"row_id": given, "objects": [
            {"name": "「小猫」", "bbox": LEFT}, {"name": "小猫", "bbox": LEFT},
            {"name": "箱子", "bbox": RIGHT}, {"name": "蚂蚁", "bbox": [0.5, 0.5, 0.51, 0.51]},
            {"name": "飞机", "bbox": RIGHT}]},
        {"row_id": none, "objects": []},
        {"row_id": 5, "objects": [{"name": "猫", "bbox": LEFT}]},
    ]  # fmt: skip
    file = tmp_path / "given.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    params = params.model_copy(
        update={"given": str(file), "gold": str(file), "passes": 2, "second_view": "smaller"}
    )
    annotator = oracle(params)
    _, asked, counts = annotate(lake, params, annotator)
    assert {view: count.computed for view, count in counts.items()} == {"plain": 1, "smaller": 1}
    questions = dict(
        zip(*(asked["plain"][name].to_pylist() for name in ("row_id", "question")), strict=True)
    )
    assert [key for key, question in questions.items() if question] == [keys[captions[1]]]
    rows = boxes(lake)
    row = rows[given]
    found = [(each["name"], [round(side, 6) for side in each["bbox"]]) for each in row["objects"]]
    assert found == [("小猫", LEFT), ("箱子", RIGHT), ("飞机", RIGHT)], "not only what it names"
    assert sorted(row["problems"]) == ["duplicate", "tiny"]
    assert (row["raw"], row["absent"], row["error"], row["self_iou"]) == ([], [], None, None)
    assert row["spatial_agree"] is True, "the referee has judged them"
    assert [each["agrees"] for each in row["relations"]] == [True]
    assert (rows[none]["objects"], rows[none]["error"]) == ([], None)
    asked_about = rows[keys[captions[1]]]
    assert [look["view"] for look in asked_about["raw"]] == ["plain", "smaller"]
    assert asked_about["self_iou"] == pytest.approx(1)
    assert read_gold(params, read_given(params)) == {}, "they measure nothing of the model"
    assert set(read_gold(params)) == {given, none, 5}


def test_given_boxes_of_no_row_are_a_mistake(lake, params):
    fill(lake, [SAID[0][0]], [picture(0)])
    with pytest.raises(ParamsError, match=r"annotate\.given = .* knows none of the 1 rows"):
        asked_rows(lake, params, given={5: {}})
