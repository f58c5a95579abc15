"""The small annotator: training sees what transformers sees, and the shipped one finds things."""

import random
import stat
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    Qwen2VLConfig,
)
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel

from spatialgen.grounding.annotator import BoxAnnotator
from spatialgen.grounding.qwen2_vl import ask, read_answer
from spatialgen.grounding.scores import BoxScores
from spatialgen.sample import train_annotator
from spatialgen.sample.annotator_data import (
    CELL,
    CELLS,
    CLASSES,
    MOST_ASKED,
    full_question,
    question,
    shown_objects,
    training_view,
)
from spatialgen.sample.annotator_eyes import see_batch
from spatialgen.sample.train_annotator import AnnotatorTraining, Patches, make_image_processor
from spatialgen.sample.training import Settings
from spatialgen.sample.world.captions import RULES, write_situation
from spatialgen.sample.world.classes import STUFF, THINGS
from spatialgen.sample.world.view import seeded, show
from tests.benchmarks.annotator import as_served

SHIPPED = Path(train_annotator.__file__).with_name("qwen2-vl-small")
FILES = {
    *["config.json", "generation_config.json", "model.safetensors", "chat_template.jinja"],
    *["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"],
    "preprocessor_config.json",
}


@pytest.fixture(scope="module")
def run():
    """A training that has not begun."""
    return AnnotatorTraining(Settings(steps=4, batch=3), validation=2)


def test_patches_are_the_image_processors(run):
    pixels = run.batch(0).pixels
    pictures = [Image.fromarray(array.numpy()) for array in pixels]
    expected = make_image_processor()(images=pictures, return_tensors="pt")
    assert torch.equal(Patches()(pixels), expected["pixel_values"])
    assert expected["image_grid_thw"].tolist() == [[1, CELLS, CELLS]] * len(pictures)


@pytest.mark.parametrize(("patch", "merge"), [(16, 1), (16, 2), (8, 2)])
def test_eyes_see_what_transformers_sees(patch, merge):
    torch.manual_seed(0)
    vision = {**train_annotator.VISION, "patch_size": patch, "spatial_merge_size": merge}
    config: Any = Qwen2VLConfig(vision_config={**vision, "depth": 2, "hidden_size": 32})
    visual = Qwen2VisionTransformerPretrainedModel(config.vision_config)
    side, count = 128 // patch, 3
    frame = torch.randn(count * side**2, 3, 1, patch * patch)
    patches = frame.expand(-1, -1, 2, -1).reshape(count * side**2, -1)
    grid = torch.tensor([[1, side, side]] * count)
    with torch.no_grad():
        expected = visual(patches, grid_thw=grid).pooler_output.view(count, -1, 32)
        assert torch.allclose(see_batch(visual, patches, side), expected, atol=1e-5)


def test_training_sees_the_logits_of_the_whole_model(run):
    batch = run.batch(3)
    pictures = batch.ids == run.model.config.image_token_id
    with torch.no_grad():
        whole = run.model(
            input_ids=batch.ids,
            attention_mask=torch.ones_like(batch.ids),
            mm_token_type_ids=pictures.int(),
            pixel_values=run.patches(batch.pixels),
            image_grid_thw=torch.tensor([[1, CELLS, CELLS]] * len(batch.ids)),
        ).logits.log_softmax(-1)
        terms = run.answer_losses(batch, run.see(batch.pixels))
    weights = batch.weights[:, 1:]
    chances = whole[:, :-1].gather(-1, batch.ids[:, 1:, None])[..., 0]
    expected = -(chances * weights).sum() / weights.sum()
    assert float(terms["answer"]) == pytest.approx(float(expected), rel=1e-4)


def test_only_the_answer_is_learned(run):
    (each,) = [question(training_view("train", 0, 5), random.Random(1))]
    ids, weights = run.encode(each)
    learned = [token for token, weight in zip(ids, weights, strict=True) if weight]
    assert run.tokenizer.decode(learned) == each.answer() + "<|im_end|>"
    assert run.tokenizer.decode(ids).count("<|image_pad|>") == CELLS**2


def test_questions_ask_for_what_is_there_and_what_is_not():
    absent = 0
    for index in range(60):
        view = training_view("train", 1, index)
        shown = shown_objects(view)
        some = question(view, random.Random(index))
        assert 1 <= len(some.truth) <= MOST_ASKED
        assert all(boxes == shown.get(name, []) for name, boxes in some.truth.items())
        absent += any(not boxes for boxes in some.truth.values())
        full = full_question(view, random.Random(index))
        assert {name for name, boxes in full.truth.items() if boxes} == set(shown) - set(STUFF)
        assert sum(not boxes for boxes in full.truth.values()) == 1
        assert not set(full.truth) & set(STUFF)
    assert 15 < absent < 55


def test_every_thing_has_a_cell_that_it_covers_and_knows_its_box():
    views = [training_view("train", 2, index) for index in range(60)]
    inside = RULES["strong"].keys() & {rule for rule in RULES["strong"] if rule.__name__ == "_in"}
    for index, rule in enumerate(40 * list(inside)):
        make = partial(write_situation, rule=rule, spatial_type="strong")
        views.append(show(seeded("train", 2, -index), make))
    for view in views:
        each = question(view, random.Random(0))
        boxes = each.boxes.reshape(CELLS, CELLS, 4)
        cells = each.cells.reshape(CELLS, CELLS)
        for thing, box in zip(view.scene.things, view.boxes, strict=True):
            sides = np.array([box.left, box.top, box.right, box.bottom], np.float32)
            rows, columns = np.nonzero((boxes == sides).all(2) & (cells == CLASSES[thing.name]))
            assert len(rows)
            assert (columns * CELL < box.right).all()
            assert ((columns + 1) * CELL > box.left).all()


def test_few_things_come_first():
    views = [training_view("train", 3, index, most_things=2) for index in range(50)]
    assert max(len(view.scene.things) for view in views) == 2


def test_published_folder_has_qwen2_vls_layout_and_loads(run, tmp_path):
    run.publish(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    assert AutoTokenizer.from_pretrained(tmp_path / "model").convert_tokens_to_ids("<|box_start|>")
    processors: Any = AutoImageProcessor
    assert processors.from_pretrained(tmp_path / "model").patch_size == CELL
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", dtype="auto")
    assert model.dtype == torch.float16
    state, kept = model.state_dict(), run.average
    assert all(torch.equal(state[name], kept[f"model.{name}"].half()) for name in state)


def shipped_answers(pictures, names):
    """The texts of the shipped model, loaded as any Qwen2-VL checkpoint is."""
    annotator = BoxAnnotator.from_pretrained(str(SHIPPED), device="cpu")
    questions = [ask(train_annotator.PROMPT, asked) for asked in names]
    prepared = [annotator.prepare(picture) for picture in pictures]
    return [written.text for written in annotator.ask(prepared, questions)]


def test_shipped_annotator_finds_things_and_says_what_is_absent():
    rng = random.Random(0)
    views = [training_view("test", 1, index) for index in range(48)]
    truths = [full_question(view, rng).truth for view in views]
    answers = shipped_answers([as_served(view) for view in views], [list(t) for t in truths])
    scores = BoxScores()
    for answer, truth in zip(answers, truths, strict=True):
        scores.add(read_answer(answer), truth)
    figures = scores.figures()
    assert figures["mean_iou_misses_0"] > 0.65
    assert figures["f1_50"] > 0.8
    assert figures["false_box_rate"] < 0.15


def test_shipped_annotator_knows_stuff_and_pictures_of_other_sizes():
    view = next(
        view for index in range(99) for view in [training_view("test", 2, index)]
        if dict(view.scene.stuff).keys() == {"天空", "草地"}
    )  # fmt: skip
    picture = as_served(view)
    (answer,) = shipped_answers([picture.resize((250, 250))], [["天空", "草地", "大海"]])
    found = read_answer(answer)
    assert list(found) == ["天空", "草地", "大海"]
    (sky,), (grass,) = found["天空"], found["草地"]
    assert sky[1] < 0.1 < sky[3] < grass[3]


def test_shipped_annotator_is_small_readable_and_has_a_card():
    files = {path.name: path.stat() for path in SHIPPED.iterdir()}
    assert set(files) >= {*FILES, "README.md"}
    assert sum(each.st_size for each in files.values()) < 15_000_000
    assert all(stat.S_IMODE(each.st_mode) & 0o444 == 0o444 for each in files.values())
    assert len(THINGS) >= 24
