"""Batches of the planner's training, and what is lost on them."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from spatialgen.layouts import Placed
from spatialgen.planner.batches import IGNORED, LayoutBatches, in_order
from spatialgen.planner.task import PlannerTask
from tests.planner.planners import BINS, tiny_planner

CATS = {"name": "小猫", "bbox": [0.0, 0.4, 0.3, 0.9]}
DOGS = {"name": "小狗", "bbox": [0.6, 0.4, 0.9, 0.9]}


class Captions:
    """Rows with captions and boxes, in memory."""

    def __init__(self) -> None:
        self.row_ids = np.arange(8)
        self.digest = "captions"

    def __len__(self) -> int:
        return len(self.row_ids)

    def read(self, places: Any) -> list[dict[str, Any]]:
        caption = "左边是小猫，右边是小狗"
        return [{"row_id": int(p), "caption": caption, "objects": [DOGS, CATS]} for p in places]


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    return tiny_planner(tmp_path_factory.mktemp("planner"))


def batches_of(planner, mirrored):
    return LayoutBatches(planner.tokenizer, planner.vocabulary, 0, mirrored)


def test_labels_are_the_layout_alone_in_the_captions_order(planner):
    (row,) = Captions().read([0])
    batch = batches_of(planner, 0.0)([row, {**row, "objects": [CATS]}], [0, 0])
    vocabulary = planner.vocabulary
    for number, names in enumerate((["小猫", "小狗"], ["小猫"])):
        labels = [i for i in batch["labels"][number].tolist() if i != IGNORED]
        layout = vocabulary.read(labels, planner.tokenizer)
        assert [each.name for each in layout] == names
        ids = batch["input_ids"][number][batch["attention_mask"][number].bool()].tolist()
        assert ids == [*vocabulary.ask(row["caption"], planner.tokenizer), *labels]
        assert layout[0].bbox == pytest.approx(CATS["bbox"], abs=0.5 / (BINS - 1))


def test_a_mirrored_row_has_its_words_exchanged(planner):
    rows = Captions().read(range(8))
    flipped = batches_of(planner, 1.0)(rows[:1], [0])
    labels = [i for i in flipped["labels"][0].tolist() if i != IGNORED]
    layout = {p.name: p.bbox for p in planner.vocabulary.read(labels, planner.tokenizer)}
    assert layout["小猫"][0] > layout["小狗"][0]
    assert "右边是小猫，左边是小狗" in planner.tokenizer.decode(flipped["input_ids"][0])
    halves = [batches_of(planner, 0.5)(rows[:1], [epoch])["labels"].tolist() for epoch in range(40)]
    assert 8 < sum(each == flipped["labels"].tolist() for each in halves) < 32
    assert halves == [
        batches_of(planner, 0.5)(rows[:1], [epoch])["labels"].tolist() for epoch in range(40)
    ], "chance is the row's"


def test_a_renamed_row_asks_for_other_things_in_the_same_boxes(planner):
    (row,) = Captions().read([0])
    batches = LayoutBatches(planner.tokenizer, planner.vocabulary, 0, 0.0, renamed=1.0)
    batch = batches([row], [0])
    labels = [i for i in batch["labels"][0].tolist() if i != IGNORED]
    layout = planner.vocabulary.read(labels, planner.tokenizer)
    text = planner.tokenizer.decode(batch["input_ids"][0][: -len(labels)])
    assert all(each.name in text and each.name not in row["caption"] for each in layout)
    assert layout[0].bbox == pytest.approx(CATS["bbox"], abs=0.5 / (BINS - 1))


def test_words_that_do_not_mirror_keep_the_picture(planner):
    row = {"row_id": 1, "caption": "一百元左右的小猫", "objects": [CATS]}
    batch = batches_of(planner, 1.0)([row], [0])
    labels = [i for i in batch["labels"][0].tolist() if i != IGNORED]
    assert planner.vocabulary.read(labels, planner.tokenizer)[0].bbox[0] == 0


def test_things_come_as_the_caption_names_them_and_then_from_the_left():
    a, b, c = (
        Placed("狗", (0.5, 0, 0.6, 1)),
        Placed("狗", (0.1, 0, 0.2, 1)),
        Placed("猫", (0, 0, 1, 1)),
    )
    hidden = Placed("树", (0, 0, 1, 1))
    assert in_order("猫和狗", (hidden, a, b, c)) == (c, b, a, hidden)


def task_of(planner, smoothing):
    return PlannerTask(planner, lambda _: {"score": 0.0}, seed=0, smoothing=smoothing, mirrored=0.0,
                       published={})  # fmt: skip


def test_the_loss_is_the_models_own_where_nothing_is_smoothed(planner):
    rows = [Captions().read([0])[0], {"row_id": 3, "caption": "小猫", "objects": [CATS]}]
    task = task_of(planner, 0.0)
    batch = task.collate(rows, [0, 0])
    with torch.no_grad():
        terms = task.losses(batch)
    for number, row in enumerate(rows):
        one = task.collate([row], [0])
        labels = one["input_ids"].clone()
        labels[0, : -one["labels"].shape[1]] = IGNORED
        with torch.no_grad():
            own = planner.model(input_ids=one["input_ids"], labels=labels).loss
        assert float(terms["text"][number] + terms["box"][number]) == pytest.approx(
            float(own), abs=1e-4
        )


def test_what_is_taught_sums_to_one_and_is_widest_in_the_middle(planner):
    taught = task_of(planner, 1.0).taught
    assert torch.allclose(taught.sum(-1), torch.ones(BINS))
    assert (taught.argmax(-1) == torch.arange(BINS)).all()
    assert taught[8, 7] == taught[8, 9] == pytest.approx(float(taught[8, 8]) * math.exp(-0.5))
    assert torch.equal(task_of(planner, 0.0).taught, torch.eye(BINS))
