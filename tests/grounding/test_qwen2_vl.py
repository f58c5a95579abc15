"""Qwen2-VL's answers, written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.grounding.qwen2_vl import ABSENT, ask, read_answer, write_answer, write_box

NAMES = st.sampled_from(["小猫", "苹果", "天空", "椅子"])
SIDES = st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(1, 99), st.integers(1, 99))
BOXES = SIDES.map(lambda s: [s[0] / 1000, s[1] / 1000, (s[0] + s[2]) / 1000, (s[1] + s[3]) / 1000])


@given(st.dictionaries(NAMES, st.lists(BOXES, max_size=3)))
def test_what_is_written_is_read(objects):
    read = read_answer(write_answer(objects))
    assert list(read) == list(objects)
    for name, boxes in objects.items():
        assert read[name] == [pytest.approx(box) for box in boxes]


def test_format_is_the_published_one():
    assert write_answer({"小猫": [[0.1, 0.25, 0.5, 1.0]], "苹果": []}) == (
        "<|object_ref_start|>小猫<|object_ref_end|><|box_start|>(100,250),(500,999)<|box_end|>"
        f"<|object_ref_start|>苹果<|object_ref_end|>{ABSENT}"
    )


@given(st.text(alphabet="小猫<|>object_ref_startbend(),0123456789无"))
def test_any_text_is_read(text):
    read_answer(text)


@pytest.mark.parametrize(
    "box",
    [
        "<|box_start|>(5,5),(5,9)<|box_end|>",
        "<|box_start|>(9,5),(5,9)<|box_end|>",
        "<|box_start|>(5,5),(9)<|box_end|>",
        "<|box_start|>(5,5),(9,9)",
    ],
)
def test_what_is_no_box_of_positive_area_is_skipped(box):
    mark = "<|object_ref_start|>小猫<|object_ref_end|>"
    assert read_answer(mark + box + write_box([0.2, 0.2, 0.4, 0.4])) == {
        "小猫": [[0.2, 0.2, 0.4, 0.4]]
    }


@pytest.mark.parametrize(
    "text",
    [
        "<|box_start|>(" + "9" * 5000 + ",1),(2,3)<|box_end|>",
        "<|object_ref_start|>" * 20_000,
        "<|object_ref_start|>狗",
    ],
)
def test_what_never_ends_is_no_box(text):
    assert read_answer("<|object_ref_start|>小猫<|object_ref_end|>" + text) == {"小猫": []}


def test_an_open_mark_does_not_swallow_the_next_name():
    text = "<|object_ref_start|>小猫<|object_ref_start|> 狗 <|object_ref_end|>"
    assert read_answer(text + "<|box_start|>(1, 2), (3,4)<|box_end|>") == {
        "狗": [[0.001, 0.002, 0.003, 0.004]]
    }


def test_prompt_lists_the_names():
    assert ask("框出{names}。", ["小猫", "苹果"]) == "框出小猫、苹果。"
