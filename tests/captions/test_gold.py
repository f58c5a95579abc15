import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.captions.gold import agreement, confusion_matrix, read_gold
from spatialgen.errors import InputError
from spatialgen.lake.ids import row_id

CLASS = st.sampled_from(["strong", "weak", "none"])


def test_gold_is_read_by_row_id(tmp_path: Path) -> None:
    rows = [{"caption": c, "spatial_type": "weak", "source": "x"} for c in ("猫", "狗")]
    file = tmp_path / "gold.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    gold = read_gold(file)
    assert gold["row_id"].to_pylist() == sorted([row_id("", "猫"), row_id("", "狗")])
    assert gold["truth"].to_pylist() == ["weak", "weak"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "gold.jsonl:2: no JSON object"),
        ('{"caption": "猫"}', "gold.jsonl:2: no JSON object with caption and spatial_type"),
        ("[1]", "gold.jsonl:2: no JSON object"),
        ('{"caption": "猫", "spatial_type": "maybe"}', "spatial_type = 'maybe'"),
        ('{"caption": 3, "spatial_type": "weak"}', "the caption is text"),
        ('{"caption": "狗", "spatial_type": "weak"}', "is weak here and none before"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "gold.jsonl"
    file.write_text('{"caption": "狗", "spatial_type": "none"}\n' + line, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_gold(file)


def test_web_text_is_read_as_it_is(tmp_path: Path) -> None:
    """Line separators of Unicode are text in JSON; a byte order mark is none."""
    row = {"caption": "猫\u2028狗\u0085", "spatial_type": "none"}
    file = tmp_path / "gold.jsonl"
    file.write_text("\ufeff" + json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8")
    assert read_gold(file)["caption"].to_pylist() == [row["caption"]]
    file.write_text('{"caption": "\\ud83d", "spatial_type": "none"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"gold.jsonl:1: no JSON object"):
        read_gold(file)


def test_a_missing_gold_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"filter.gold = .* cannot be read"):
        read_gold(tmp_path / "none.jsonl")


@given(st.lists(st.tuples(CLASS, CLASS | st.none()), max_size=60))
def test_agreement_is_what_counting_by_hand_gives(pairs: list[tuple[str, str | None]]) -> None:
    found = agreement(confusion_matrix([t for t, _ in pairs], [p for _, p in pairs]))
    spatial = [(t != "none", p not in (None, "none")) for t, p in pairs]
    hits = sum(t and p for t, p in spatial)
    selected, true = sum(p for _, p in spatial), sum(t for t, _ in spatial)
    precision, recall = found["spatial_precision"], found["spatial_recall"]
    assert precision["value"] == (pytest.approx(hits / selected, abs=1e-6) if selected else None)
    assert recall["value"] == (pytest.approx(hits / true, abs=1e-6) if true else None)
    assert (precision["n"], recall["n"], found["n"]) == (selected, true, len(pairs))
    assert found["unanswered"] == sum(p is None for _, p in pairs)
    f1 = []
    for name in ("strong", "weak", "none"):
        right = sum(t == p == name for t, p in pairs)
        both = sum(t == name for t, _ in pairs) + sum(p == name for _, p in pairs)
        if both:
            f1.append(2 * right / both)
            assert found[name]["f1"]["value"] == pytest.approx(f1[-1], abs=1e-6)
        else:
            assert found[name]["f1"]["value"] is None, "a class that never occurs is no zero"
    if pairs:
        assert found["macro_f1"]["value"] == pytest.approx(np.mean(f1), abs=1e-6)
        assert found["macro_f1"]["lo"] <= found["macro_f1"]["hi"]
