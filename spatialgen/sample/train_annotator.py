"""Train the small annotator: Qwen2-VL architecture, boxes of named things, CPU or GPU.

    python -m spatialgen.sample.train_annotator --out DIR

The loss is the cross entropy of the answer, and of two heads that are dropped when the model is
published: one on the visual tokens (what covers this cell, how far are the sides of its box), one
in the language model (where in the picture is a visual token's box, three layers up; and one layer
later the same of a named thing, where its name ends or its box begins in the answer). Without them
a model of this size learns to write answers long before it learns to look, and to look long before
it finds what it is asked for.
A run that was stopped goes on with `--resume`; `OUT/model` then holds the published files.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2Tokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from spatialgen.grounding.qwen2_vl import read_answer
from spatialgen.grounding.scores import BoxScores
from spatialgen.project import guard
from spatialgen.sample.annotator_data import (
    CELL,
    CELLS,
    CLASSES,
    NAMES,
    Question,
    full_question,
    question,
    stack,
    training_view,
)
from spatialgen.sample.annotator_eyes import see_batch
from spatialgen.sample.model_files import publish_folder
from spatialgen.sample.tokenizer import make_vision_tokenizer
from spatialgen.sample.training import VALIDATION, Settings, Training, train_pictures
from spatialgen.sample.world.captions import MOST_THINGS
from spatialgen.sample.world.scenes import SIDE

PROMPT = (Path(__file__).parents[1] / "grounding" / "prompt.txt").read_text(encoding="utf-8")
VISION: dict[str, Any] = {
    "depth": 6,
    "embed_dim": 192,
    "num_heads": 6,
    "mlp_ratio": 2,
    "hidden_act": "gelu",
    "patch_size": CELL,
    "spatial_merge_size": 1,  # 64 visual tokens of a 128 px picture
    "temporal_patch_size": 2,
    "rope_parameters": {"rope_type": "axial", "rope_theta": 100.0},
}
TEXT: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    # Sections of Qwen2-VL's proportions leave the widths of an 8 x 8 grid frequencies that turn by
    # 0.02 from side to side: no model can tell columns apart. These leave the heights the second
    # and third frequency and the widths all others: fast ones to see columns by, and slow ones,
    # without which a name in the text cannot find its thing in the picture by what it is.
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0, "mrope_section": [1, 2, 13]},
}
# Layers of the language model that know where in the picture visual tokens, and named things, are.
PLACED, NAMED = 3, 4
LOOKS = 0.28  # share of the steps that train the eyes; the others train all that comes after them
FEW, FEW_THINGS = 0.1, 2  # share of the steps whose pictures hold no more
MANY_THINGS = 3  # of half of the pictures that the language model learns from, at least
WEIGHTS = (1.0, 1.0, 0.3)  # of a coordinate's first, second and third digit
EDGE_BINS = 64
EDGE_WIDTH = 1.0  # bins: the targets' softness
DEFAULTS = Settings(steps=8000, rate=1.5e-3)


class Heads(nn.Module):
    """What is at a visual token: its class, and its box, seen from there or in the picture."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seen, self.placed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.seen_class = nn.Linear(width, 1 + len(CLASSES))
        self.placed_class = nn.Linear(width, 1 + len(CLASSES))
        self.offsets = nn.Linear(width, 4)
        self.edges = nn.Linear(width, 4 * EDGE_BINS)

    def look(self, visual: Tensor, cells: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """Losses of [n, cells, width] visual tokens against classes and boxes in pixels."""
        visual = self.seen(visual)
        column = torch.arange(CELLS, device=boxes.device) * CELL + CELL / 2
        rows, columns = torch.meshgrid(column, column, indexing="ij")
        centres = torch.stack([columns, rows, columns, rows], -1).view(-1, 4)
        offsets = (boxes - centres) / (2 * CELL)
        return {
            "seen": F.cross_entropy(self.seen_class(visual).flatten(0, 1), cells.flatten()),
            "offset": 3 * (self.offsets(visual) - offsets)[~offsets.isnan()].abs().mean(),
        }

    def place(self, states: Tensor, classes: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of [n, width] states of the language model against classes (0: nothing is there)
        and [n, 4] boxes in pixels (NaN: none)."""
        states = self.placed(states)
        boxed = ~boxes[:, 0].isnan()
        logits = self.edges(states[boxed]).view(-1, 4, EDGE_BINS)
        bins = torch.arange(EDGE_BINS, device=boxes.device) + 0.5
        distance = bins - (boxes[boxed] * EDGE_BINS / SIDE)[..., None]
        target = torch.softmax(-(distance**2) / (2 * EDGE_WIDTH**2), -1)
        return (
            F.cross_entropy(self.placed_class(states), classes),
            0.5 * -(target * logits.log_softmax(-1)).sum(-1).mean(),
        )


@dataclass(frozen=True)
class Batch:
    """Questions as tensors: `weights` are 0 where a token is given, not asked."""

    pixels: Tensor
    cells: Tensor
    boxes: Tensor
    ids: Tensor  # [n, length]
    weights: Tensor  # [n, length]
    marks: Tensor  # [k, 2] row and place of the tokens that end a name or begin a box
    classes: Tensor  # [k] what is there: 0 where the name is absent
    marked: Tensor  # [k, 4] pixels of the box that comes next, NaN where none does


def build(settings: Settings, tokenizer: Qwen2Tokenizer) -> Qwen2VLForConditionalGeneration:
    """A fresh model."""
    torch.manual_seed(settings.seed)
    token: Any = tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={
            **TEXT,
            "vocab_size": -(-len(tokenizer) // 8) * 8,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={**VISION, "hidden_size": TEXT["hidden_size"]},
        tie_word_embeddings=True,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    return Qwen2VLForConditionalGeneration(config)


def make_image_processor() -> Qwen2VLImageProcessorPil:
    """Pictures of any size come to the model with about SIDE x SIDE pixels."""
    return Qwen2VLImageProcessorPil(
        min_pixels=SIDE * SIDE,
        max_pixels=SIDE * SIDE,
        patch_size=CELL,
        merge_size=VISION["spatial_merge_size"],
    )


class Patches:
    """What the model's image processor makes of SIDE x SIDE pictures, for whole batches at once."""

    def __init__(self, device: str = "cpu") -> None:
        processor = make_image_processor()
        self.mean = torch.tensor(processor.image_mean, device=device)
        self.deviation = torch.tensor(processor.image_std, device=device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """[n x CELLS ** 2, 3 x 2 x CELL ** 2] of [n, SIDE, SIDE, 3] bytes."""
        values = (pixels.to(self.mean.device).float() / 255 - self.mean) / self.deviation
        cells = values.view(-1, CELLS, CELL, CELLS, CELL, 3).permute(0, 1, 3, 5, 2, 4)
        twice = cells[:, :, :, :, None].expand(-1, -1, -1, -1, 2, -1, -1)  # two equal frames
        return twice.reshape(len(pixels) * CELLS**2, -1)


class AnnotatorTraining(Training):
    """First the eyes, on few things and then on more; then the language model before them."""

    phases = (LOOKS,)

    def __init__(
        self, settings: Settings, device: str = "cpu", validation: int = VALIDATION
    ) -> None:
        self.device, self.validation = device, validation
        self.tokenizer = make_vision_tokenizer([*"".join(NAMES), *PROMPT])
        self.model, heads = build(settings, self.tokenizer), Heads(TEXT["hidden_size"])
        super().__init__(nn.ModuleDict({"model": self.model, "heads": heads}).to(device), settings)
        self.looks = int(LOOKS * settings.steps)
        self.heads, self.patches = heads, Patches(device)
        marks = ("<|object_ref_end|>", "<|box_start|>")
        self.marks = {self.tokenizer.convert_tokens_to_ids(mark) for mark in marks}
        self.digits = {self.tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"}

    def batch(self, step: int) -> Batch:
        """The questions of `step`, a function of the seed and `step`."""
        first, few = step * self.settings.batch, step < FEW * self.settings.steps
        views = [
            training_view(
                "train",
                self.settings.seed,
                index,
                most_things=FEW_THINGS if few else MOST_THINGS,
                least_things=MANY_THINGS if step >= self.looks and index % 2 else 1,
            )
            for index in range(first, first + self.settings.batch)
        ]
        rng = random.Random(f"{self.settings.seed}:{step}")
        return self.tensors([question(view, rng) for view in views])

    def tensors(self, questions: Sequence[Question]) -> Batch:
        """Right-padded: nothing attends to what comes later."""
        rows = [self.encode(each) for each in questions]
        length = max(len(ids) for ids, _ in rows)
        ids = np.full((len(rows), length), self.tokenizer.pad_token_id, np.int64)
        weights = np.zeros((len(rows), length), np.float32)
        marks: list[tuple[int, int]] = []
        for row, (tokens, weight) in enumerate(rows):
            ids[row, : len(tokens)], weights[row, : len(tokens)] = tokens, weight
            marks += [(row, place) for place, token in enumerate(tokens) if token in self.marks]
        told = [mark for each in questions for mark in each.marks()]
        classes = np.array([number for number, _ in told], np.int64)
        boxes = np.array([box for _, box in told], np.float32)
        arrays = (*stack(questions), ids, weights, np.array(marks, np.int64), classes, boxes)
        return Batch(*(torch.from_numpy(array).to(self.device) for array in arrays))

    def encode(self, each: Question) -> tuple[list[int], list[float]]:
        """Tokens of the whole dialogue, and the weight of each as a target."""
        given = self.tokenizer(self.dialogue(each), add_special_tokens=False)["input_ids"]
        end = self.tokenizer.eos_token
        answer = self.tokenizer(each.answer() + end, add_special_tokens=False)["input_ids"]
        weights, place = [], 0
        for token in answer:
            digit = token in self.digits
            place = place + 1 if digit else 0
            weights.append(WEIGHTS[place - 1] if digit else 1.0)
        return given + answer, [0.0] * len(given) + weights

    def dialogue(self, each: Question) -> str:
        """The text before the answer, with a token for every cell of the picture."""
        content = [{"type": "image"}, {"type": "text", "text": each.ask(PROMPT)}]
        messages: Any = [{"role": "user", "content": content}]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return str(text).replace("<|image_pad|>", "<|image_pad|>" * CELLS**2)

    def see(self, pixels: Tensor) -> Tensor:
        """[n, CELLS ** 2, width] visual tokens."""
        return see_batch(self.model.model.visual, self.patches(pixels), CELLS)

    def losses(self, step: int) -> dict[str, Tensor]:
        """What the eyes see; in the second phase, what the language model makes of it."""
        batch = self.batch(step)
        if step < self.looks:
            return self.heads.look(self.see(batch.pixels), batch.cells, batch.boxes)
        with torch.no_grad():
            visual = self.see(batch.pixels)
        return self.answer_losses(batch, visual)

    def answer_losses(self, batch: Batch, visual: Tensor) -> dict[str, Tensor]:
        """What the language model makes of the visual tokens, and writes."""
        model = self.model.model
        pads = batch.ids == self.model.config.image_token_id
        embedded = model.get_input_embeddings()(batch.ids)
        embedded = embedded.masked_scatter(pads[..., None], visual)
        states = model.language_model(
            inputs_embeds=embedded,
            position_ids=self.positions(batch.ids),
            use_cache=False,
            output_hidden_states=True,
        )
        placed, edges = self.heads.place(
            states.hidden_states[PLACED][pads], batch.cells.flatten(), batch.boxes.flatten(0, 1)
        )
        named, named_edges = self.heads.place(
            states.hidden_states[NAMED][*batch.marks.T], batch.classes, batch.marked
        )
        asked = batch.weights[:, 1:] > 0
        logits = self.model.lm_head(states.last_hidden_state[:, :-1][asked])
        weights = batch.weights[:, 1:][asked]
        loss = F.cross_entropy(logits, batch.ids[:, 1:][asked], reduction="none")
        return {
            "placed": placed,
            "edge": edges,
            "named": named,
            "named_edge": named_edges,
            "answer": (loss * weights).sum() / weights.sum(),
        }

    def positions(self, ids: Tensor) -> Tensor:
        """[3, n, length] places in time, height and width; the picture stands at one place in each
        row, so one row's are everyone's."""
        before = int((ids[0] == self.model.config.image_token_id).float().argmax())
        start = torch.arange(before)
        rows, columns = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
        picture = before + torch.stack([torch.zeros(CELLS**2), rows.flatten(), columns.flatten()])
        after = torch.arange(ids.shape[1] - before - CELLS**2) + before + CELLS
        line = torch.cat([start.expand(3, -1), picture.long(), after.expand(3, -1)], 1)
        return line[:, None].expand(-1, len(ids), -1).to(ids.device)

    @cached_property
    def held_out(self) -> list[Question]:
        """Full questions about validation views."""
        rng = random.Random(0)
        views = [training_view("validation", 0, index) for index in range(self.validation)]
        return [full_question(view, rng) for view in views]

    def evaluate(self) -> dict[str, float]:
        """Losses and, once the model has been asked, scores of what it answers."""
        batch = self.tensors(self.held_out)
        visual = self.see(batch.pixels)
        terms = self.heads.look(visual, batch.cells, batch.boxes)
        scores: dict[str, float] = {}
        if self.step > self.looks:
            terms |= self.answer_losses(batch, visual)
            scores = score(self, self.held_out)
        return {f"val_{name}": float(value) for name, value in terms.items()} | scores

    def answer(self, questions: Sequence[Question]) -> list[str]:
        """What the model writes, greedily."""
        prompts = [self.dialogue(each) for each in questions]
        inputs = self.tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt")
        ids = inputs["input_ids"].to(self.device)
        model: Any = self.model
        written = model.generate(
            input_ids=ids,
            attention_mask=inputs["attention_mask"].to(self.device),
            mm_token_type_ids=(ids == self.model.config.image_token_id).int(),
            pixel_values=self.patches(torch.from_numpy(stack(questions)[0])),
            image_grid_thw=torch.tensor([[1, CELLS, CELLS]] * len(questions), device=self.device),
            max_new_tokens=200,
            do_sample=False,
        )
        new: list[str] = self.tokenizer.batch_decode(written[:, ids.shape[1] :])
        return new

    def publish(self, folder: Path) -> None:
        """The averaged weights in fp16, in Qwen2-VL's file layout."""
        weights = self.averaged_part("model")
        publish_folder(folder, self.model, weights, self.tokenizer, make_image_processor())


def score(
    run: AnnotatorTraining, questions: Sequence[Question], size: int = 32
) -> dict[str, float]:
    """Scores of the answers to `questions`."""
    scores = BoxScores()
    for start in range(0, len(questions), size):
        part = questions[start : start + size]
        for each, text in zip(part, run.answer(part), strict=True):
            scores.add(read_answer(text), each.truth)
    return scores.figures()


def start(settings: Settings, device: str, validation: int, _: Path) -> AnnotatorTraining:
    """A run, wherever its files go."""
    return AnnotatorTraining(settings, device, validation)


if __name__ == "__main__":
    guard(lambda: train_pictures("Train the small annotator.", DEFAULTS, start))
