"""Each family's marks and coordinates."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.errors import InputError
from spatialgen.grounding.families import FAMILIES, family_of, says_nothing

MARKED = (
    "<|object_ref_start|>小猫<|object_ref_end|><|box_start|>(100,250),(500,750)<|box_end|>"
    "<|object_ref_start|>狗<|object_ref_end|>无"
)


def listed(scale_x, scale_y):
    items = [
        {
            "bbox_2d": [0.1 * scale_x, 0.25 * scale_y, 0.5 * scale_x, 0.75 * scale_y],
            "label": "小猫",
        },
        {"bbox_2d": None, "label": "狗"},
    ]
    return json.dumps(items, ensure_ascii=False)


@pytest.mark.parametrize(
    ("model_type", "text"),
    [
        ("qwen2_vl", MARKED),
        ("qwen2_5_vl", listed(560, 280)),
        ("qwen2_5_vl", f"```json\n{listed(560, 280)}\n```"),
        ("qwen3_vl", listed(1000, 1000)),
        ("qwen3_vl_moe", listed(1000, 1000)),
    ],
)
def test_every_family_says_the_same_box(model_type, text):
    mentions = family_of(model_type).read(text, 560, 280)
    assert mentions == [("小猫", pytest.approx([0.1, 0.25, 0.5, 0.75])), ("狗", None)]


def test_a_list_that_was_cut_off_keeps_its_whole_items():
    text = '[{"bbox_2d": [1, 2, 300, 400], "label": "猫"}, {"bbox_2d": [5, 6, 70'
    assert FAMILIES["qwen3_vl"].read(text, 9, 9) == [("猫", [0.001, 0.002, 0.3, 0.4])]


@pytest.mark.parametrize(
    "box", ["[1, 2, 3]", '["a", 2, 3, 4]', "[1e99, 2, 3, 4]", "[NaN, 2, 3, 4]", "true", "7"]
)
def test_what_is_no_box_is_neither_a_box_nor_absence(box):
    found = FAMILIES["qwen2_5_vl"].read(f'[{{"bbox_2d": {box}, "label": "猫"}}]', 100, 100)
    assert found == [("猫", [])]


@pytest.mark.parametrize("box", ["null", "[]", '"无"', '""'])
def test_an_explicit_nothing_is_absence(box):
    text = f'[{{"bbox_2d": {box}, "label": "猫"}}]'
    assert FAMILIES["qwen2_5_vl"].read(text, 100, 100) == [("猫", None)]


@pytest.mark.parametrize("box", ['["10", "20", 30, 40.0]', "[[10, 20, 30, 40]]"])
def test_numbers_as_text_and_boxes_in_a_list_are_boxes(box):
    text = f'[{{"bbox_2d": {box}, "label": "猫"}}]'
    ((name, found),) = FAMILIES["qwen2_5_vl"].read(text, 100, 100)
    assert name == "猫"
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    "text", ["无", "无。", "[]", "```json\n[]\n```", "图中没有小猫。", "<|im_end|>无"]
)
def test_an_answer_may_say_that_nothing_is_there(text):
    assert says_nothing(text)


@pytest.mark.parametrize("text", ["", "我看不清。", "没有小猫，但是有狗", MARKED])
def test_other_answers_do_not(text):
    assert not says_nothing(text)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@given(st.data())
def test_any_text_is_read(family, data):
    alphabet = '小猫<|>object_ref_startboxend(),0123456789无[]{}":-.ebbox_2dlabelnull '
    text = data.draw(st.text(alphabet=alphabet, max_size=200) | st.text(max_size=50))
    for name, box in family.read(text, 28, 56):
        assert isinstance(name, str)
        assert box is None or len(box) in (0, 4)


def test_other_models_are_refused():
    with pytest.raises(InputError, match="model_type llava is none whose boxes can be read"):
        family_of("llava")
