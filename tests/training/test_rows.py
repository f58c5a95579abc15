"""The rows that train: chosen in SQL, read by position, also in another process."""

import pickle

import numpy as np
import pytest

from spatialgen.errors import LakeError, ParamsError
from spatialgen.lake.schemas import BOXES, CAPTIONS, SPLITS
from spatialgen.training.rows import choose_rows
from tests.tables import publish

COLUMNS = {"captions": ["caption"], "boxes": ["objects"]}
CAPTION_FACTS = {"spatial_type": "strong", "tier": "judge", "p_strong": 1, "p_weak": 0, "p_none": 0}
BOX_FACTS = {"sha256": "0" * 64, "absent": [], "relations": [], "problems": [], "raw": []}


@pytest.fixture
def filled(lake):
    """Nine rows; every third is of the split test, and row 4 has no boxes."""
    ids = [number - 4 for number in range(9)]
    facts = [{"row_id": i, "url": f"u{i}", "caption": f"caption {i}", **CAPTION_FACTS} for i in ids]
    publish(lake, CAPTIONS, facts)
    splits = [{"row_id": i, "group_id": i, "split": "train" if i % 3 else "test"} for i in ids]
    publish(lake, SPLITS, splits)
    boxes = [{"row_id": i, "objects": [{"name": f"n{i}", "bbox": [0, 0, 1, 1]}], **BOX_FACTS}
             for i in ids if i != 4]  # fmt: skip
    publish(lake, BOXES, boxes)
    return lake


def test_rows_are_chosen_in_sql_and_read_in_any_order(filled):
    rows = choose_rows(filled, "x.where", "true -- and a comment", "train", COLUMNS)
    assert rows.row_ids.tolist() == [-4, -2, -1, 1, 2]
    read = rows.read([4, 0, 4])
    assert [row["row_id"] for row in read] == [2, -4, 2]
    assert [row["caption"] for row in read] == ["caption 2", "caption -4", "caption 2"]
    assert read[1]["objects"][0]["name"] == "n-4"


def test_no_condition_leaves_its_split(filled):
    rows = choose_rows(filled, "x.where", "false) or (true", "train", COLUMNS)
    assert rows.row_ids.tolist() == [-4, -2, -1, 1, 2]
    odd = choose_rows(filled, "x.where", "caption not like '%;%'", "test", COLUMNS)
    assert odd.row_ids.tolist() == [-3, 0, 3]


def test_another_process_reads_the_same(filled):
    rows = choose_rows(filled, "x.where", "true", "train", COLUMNS)
    rows.read([0])
    assert pickle.loads(pickle.dumps(rows)).read([1]) == rows.read([1])


def test_the_digest_is_of_the_rows_alone(filled):
    some, same = (
        choose_rows(filled, "x.where", where, "train", COLUMNS)
        for where in ("row_id < 2", "not row_id > 1")
    )
    other = choose_rows(filled, "x.where", "row_id < 1", "train", COLUMNS)
    assert some.digest == same.digest != other.digest


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("row_id > 99", "no row of split train satisfies x.where"),
        ("", "is no condition"),
        ("true; drop table boxes", "is no condition"),
        ("nonsense", "is no condition"),
        ("true)", "is no condition"),
    ],
)
def test_conditions_that_are_none_are_refused(filled, condition, message):
    with pytest.raises(ParamsError, match=message):
        choose_rows(filled, "x.where", condition, "train", COLUMNS)


def test_a_table_that_lacks_a_row_is_noticed(filled):
    rows = choose_rows(filled, "x.where", "true", "train", COLUMNS)
    strange = rows.__class__(np.array([-4, 4]), rows.tables)
    with pytest.raises(LakeError, match="lacks row_id 4"):
        strange.read([0, 1])
