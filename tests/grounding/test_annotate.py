"""Row stage annotate on a real lake: what is asked, failures, memory, two looks."""

from typing import Any

import lance
import numpy as np
import pytest

from spatialgen.errors import LakeError, ParamsError
from spatialgen.grounding.gold import measure
from spatialgen.grounding.metrics import count_boxes
from spatialgen.grounding.publish import publish_boxes
from spatialgen.grounding.qwen2_vl import write_answer
from spatialgen.grounding.seed import seed_answers
from spatialgen.grounding.stage import (
    ASKED,
    annotate_stage,
    asked_rows,
    read_box_prompt,
    with_question,
)
from tests.conftest import REPOSITORY
from tests.grounding.annotating import (
    COMPUTE,
    LEFT,
    SAID,
    Oracle,
    annotate,
    boxes,
    fill,
    oracle,
    picture,
)


def test_rows_get_boxes_verdicts_and_reasons(lake, params):
    captions = [caption for caption, _ in SAID]
    keys = fill(lake, captions, [picture(n) for n in range(len(captions))])
    told = {"一只小猫在箱子的左边": 0, "箱子左边有一只小猫": 1, "灯笼在左上角": 2}

    class Told(Oracle):
        def said(self, question):
            del question
            caption = order.pop(0)
            return write_answer(SAID[told[caption]][1])

    annotator = Told.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    asked = with_question(asked_rows(lake, params)["plain"])
    measure_sizes: Any = annotate_stage(params, COMPUTE, lake.path("images")).sizes
    sizes = measure_sizes(asked.combine_chunks().to_batches()[0])
    order = [asked["caption"].to_pylist()[i] for i in np.argsort(-sizes, kind="stable")]
    _, _, counts = annotate(lake, params, annotator)
    rows = boxes(lake)
    assert counts["plain"].computed == 3, "a caption that names nothing is not asked about"
    agreeing = rows[keys["一只小猫在箱子的左边"]]
    assert [each["name"] for each in agreeing["objects"]] == ["小猫", "箱子"]
    assert agreeing["objects"][0]["bbox"] == pytest.approx(LEFT, abs=1e-3)
    assert agreeing["spatial_agree"] is True
    failing = rows[keys["箱子左边有一只小猫"]]
    assert failing["spatial_agree"] is False
    assert failing["relations"] == [
        {"relation": "left", "subject": "小猫", "objects": ["箱子"], "agrees": False}
    ]
    absent = rows[keys["灯笼在左上角"]]
    assert (absent["objects"], absent["absent"], absent["spatial_agree"]) == ([], ["灯笼"], None)
    nameless = rows[keys["左边"]]
    assert nameless["error"].startswith("no_names:")
    assert (nameless["raw"], nameless["objects"]) == ([], [])
    stage = annotate_stage(params, COMPUTE, lake.path("images"))
    scores = measure(lake, stage, {}, ASKED.empty_table(), params)
    metrics = count_boxes(lake, scores)
    assert (metrics["rows"], metrics["failed"], metrics["objects"]) == (4, 1, 4)
    assert metrics["spatial_agree"]["value"] == 0.5
    assert "truth" not in metrics


def test_a_damaged_picture_is_an_error_row_and_its_neighbours_are_answered(lake, params):
    files = [picture(n) for n in range(6)]
    files[2] = files[2][:60]
    captions = [f"{number}只小猫在箱子左边" for number in "一二三四五六"]
    keys = fill(lake, captions, files)
    _, _, counts = annotate(lake, params, oracle(params))
    rows = boxes(lake)
    assert (counts["plain"].computed, counts["plain"].failed) == (6, 1)
    assert rows[keys[captions[2]]]["error"].startswith("unreadable_picture: ")
    assert sum(row["error"] is None for row in rows.values()) == 5
    assert annotate(lake, params, oracle(params))[2]["plain"].computed == 0, "permanent"


def test_an_endless_caption_is_an_error_row(lake, params):
    captions = ["小猫在箱子左边" + "很" * 5000, "小猫在箱子左边"]
    keys = fill(lake, captions, [picture(1), picture(2)])
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "caption_prompt.txt")
    annotate(lake, params.model_copy(update={"prompt": prompt}), oracle(params))
    rows = boxes(lake)
    assert rows[keys[captions[0]]]["error"].startswith("too_long: the question has 50")
    assert rows[keys[captions[1]]]["error"] is None


def test_out_of_memory_halves_the_batch_and_quarantines_the_row_that_fails_alone(lake, params):
    captions = [f"{number}只小猫在箱子左边" for number in "一二三四五六七八"]
    keys = fill(lake, captions, [picture(n) for n in range(8)])
    bad = captions[3]

    poison = 0

    class Small(Oracle):
        room = 2

        def ask(self, pictures, questions):
            if any("小猫" in q for q in questions) and poison in [id(p) for p in pictures]:
                raise MemoryError("CUDA out of memory")
            return super().ask(pictures, questions)

        def prepare(self, image):
            nonlocal poison
            prepared = super().prepare(image)
            if image.getpixel((0, 0))[0] == 3:
                poison = id(prepared)
            return prepared

    small = Small.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    _, _, counts = annotate(lake, params, small)
    rows = boxes(lake)
    assert (counts["plain"].computed, counts["plain"].failed) == (8, 1)
    assert rows[keys[bad]]["error"].startswith("out of memory")
    assert len(small.asked) == 7


def test_an_answer_without_a_box_is_a_failure_that_quotes_it(lake, params):
    keys = fill(lake, ["小猫在箱子左边"], [picture(1)])

    class Talker(Oracle):
        def said(self, question):
            return "对不起，\n我看不清。"

    talker = Talker.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    annotate(lake, params, talker)
    row = boxes(lake)[keys["小猫在箱子左边"]]
    assert row["error"] == "unreadable_answer: '对不起， 我看不清。'"
    assert row["raw"][0]["text"] == "对不起，\n我看不清。", "kept as it was"


def test_a_bare_no_means_that_all_that_was_asked_for_is_absent(lake, params):
    keys = fill(lake, ["小猫在箱子左边"], [picture(1)])

    class No(Oracle):
        def said(self, question):
            return "无"

    annotate(lake, params, No.from_pretrained(params.model, device="cpu", max_new_tokens=16))
    row = boxes(lake)[keys["小猫在箱子左边"]]
    assert (row["error"], row["absent"]) == (None, ["小猫", "箱子"])


def test_a_second_look_that_fails_is_no_disagreement(lake, params):
    keys = fill(lake, [SAID[0][0]], [picture(1)])
    annotate(lake, params, oracle(params))

    class Breaks(Oracle):
        def ask(self, pictures, questions):
            raise RuntimeError("no device")

    twice = params.model_copy(update={"passes": 2})
    breaks = Breaks.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    annotate(lake, twice, breaks)
    row = boxes(lake)[keys[SAID[0][0]]]
    assert (row["self_iou"], row["problems"]) == (None, ["no_second_look"])


def test_a_mirrored_look_at_a_quoted_caption_is_refused(lake, params):
    fill(lake, [SAID[0][0]], [picture(1)])
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "caption_prompt.txt")
    with pytest.raises(ParamsError, match="mirrored shows left as right"):
        asked_rows(lake, params.model_copy(update={"prompt": prompt, "passes": 2}))


def test_a_second_look_asks_only_itself_and_gives_self_agreement(lake, params):
    keys = fill(lake, [SAID[0][0]], [picture(1)])
    _, _, counts = annotate(lake, params, oracle(params))
    assert boxes(lake)[keys[SAID[0][0]]]["self_iou"] is None
    twice = params.model_copy(update={"passes": 2})
    _, _, counts = annotate(lake, twice, oracle(params))
    assert (counts["plain"].computed, counts["mirrored"].computed) == (0, 1)
    row = boxes(lake)[keys[SAID[0][0]]]
    # The oracle says the same of the mirrored picture: 小猫 and 箱子 swap places, and miss.
    assert [each["self_iou"] for each in row["objects"]] == [0.0, 0.0]
    assert [look["view"] for look in row["raw"]] == ["plain", "mirrored"]
    assert row["self_iou"] == 0


def test_thresholds_select_and_ask_nothing(lake, params):
    keys = fill(lake, [SAID[0][0]], [picture(1)])
    annotate(lake, params, oracle(params))
    strict = params.model_copy(update={"min_area": 0.5})
    _, _, counts = annotate(lake, strict, oracle(params))
    row = boxes(lake)[keys[SAID[0][0]]]
    assert counts["plain"].computed == 0
    assert (row["objects"], row["problems"]) == ([], ["tiny", "tiny"])


@pytest.mark.parametrize("change", [{"max_image_size": 112}, {"max_new_tokens": 17}])
def test_what_changes_answers_asks_again(lake, params, change):
    fill(lake, [SAID[0][0]], [picture(1)])
    annotate(lake, params)
    assert annotate(lake, params)[2]["plain"].computed == 0
    assert annotate(lake, params.model_copy(update=change))[2]["plain"].computed == 1


def test_new_rows_ask_only_themselves_and_equal_questions_once(lake, params):
    fill(lake, ["小猫在箱子左边"] * 3, [picture(1)] * 3)
    assert annotate(lake, params)[2]["plain"].computed == 1
    assert len(boxes(lake)) == 3
    fill(lake, ["小猫在箱子左边"] * 4, [*[picture(1)] * 3, picture(2)])
    assert annotate(lake, params)[2]["plain"].computed == 1


def test_a_caption_prompt_needs_no_names(lake, params):
    fill(lake, ["左边"], [picture(1)])
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "caption_prompt.txt")
    asked = asked_rows(lake, params.model_copy(update={"prompt": prompt}))["plain"]
    assert "“左边”" in asked["question"][0].as_py()


def test_answers_in_the_store_that_vanish_are_an_error(lake, params):
    fill(lake, [SAID[0][0]], [picture(1)])
    stage, asked, _ = annotate(lake, params)
    lance.dataset(str(lake.memo(stage.name, stage.schema).path)).delete("true")
    with pytest.raises(LakeError, match=r"the store lacks the answers of 1 of 1 rows"):
        publish_boxes(lake, stage, asked, params)


def test_a_pulled_table_fills_the_store(lake, params, tmp_path):
    fill(lake, [SAID[0][0], "左边"], [picture(1), picture(2)])
    stage, _, _ = annotate(lake, params, oracle(params))
    lance.dataset(str(lake.memo(stage.name, stage.schema).path)).delete("true")
    assert seed_answers(lake, stage, params) == 1
    assert seed_answers(lake, stage, params) == 0
    assert annotate(lake, params, oracle(params))[2]["plain"].computed == 0


def test_a_prompt_without_a_place_for_names_is_refused(tmp_path):
    (tmp_path / "prompt.txt").write_text("框出一切")
    with pytest.raises(ParamsError, match=r"holds neither \{names\} nor \{caption\}"):
        read_box_prompt(tmp_path / "prompt.txt")
    with pytest.raises(ParamsError, match="cannot be read"):
        read_box_prompt(tmp_path / "nothing.txt")


def test_real_photographs_outside_its_world_give_valid_boxes_or_none(lake, photos, params):
    captions = ["一个男人在汽车的左边", "一只小猫在椅子上", "天空下有大象"] * 8
    fill(lake, captions, photos[:24])
    shipped = params.model_copy(
        update={
            "model": str(REPOSITORY / "spatialgen" / "sample" / "qwen2-vl-small"),
            "max_new_tokens": 120,
        }
    )
    _, _, counts = annotate(lake, shipped)
    assert counts["plain"].failed == 0
    for row in boxes(lake).values():
        for each in row["objects"]:
            x1, y1, x2, y2 = each["bbox"]
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1
