"""LoRA on a folder in the shape of Qwen2.5-0.5B's: tied embeddings, spare rows, 24 layers."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from spatialgen.errors import InputError
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.planner.task import PlannerTask
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.loop import Loop, LoopSettings
from tests.captions.models import tiny_tokenizer
from tests.planner.planners import CAPTIONS
from tests.planner.test_task import Captions

BINS = 256


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Random weights; all but the width and the number of text tokens as published."""
    folder = tmp_path_factory.mktemp("qwen2.5")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tiny_tokenizer()) + 271, hidden_size=56, intermediate_size=304,
        num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        tie_word_embeddings=True, max_position_embeddings=32768, max_window_layers=21,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    model.bfloat16().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def train(base, root, precision="fp32", dtype="float32"):
    """A few steps of LoRA."""
    folder = TrainingFolder(root)
    planner = LayoutPlanner.from_base(str(base), bins=BINS, dtype=dtype).with_lora(4)
    task = PlannerTask(planner, lambda _: {"score": 0.0}, seed=0, smoothing=2.0, mirrored=0.5,
                       published={"base": str(base), "revision": None})  # fmt: skip
    settings = LoopSettings(steps=4, batch=4, rate=0.01, every=2, precision=precision)
    Loop(task, Captions(), folder, settings, cpu=True).run(quiet=True)
    return planner, folder


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A planner that was trained with LoRA, and its folder."""
    return train(base, tmp_path_factory.mktemp("lora"))


def test_frozen_weights_may_be_in_16_bits(base, tmp_path):
    planner, folder = train(base, tmp_path, "bf16", "bfloat16")
    losses = [line["train/loss"] for line in folder.noted()]
    assert losses[-1] < losses[0]
    dtypes = {(p.requires_grad, p.dtype) for p in planner.model.parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.bfloat16)}
    assert all(LayoutPlanner.from_pretrained(folder.result).plan(CAPTIONS))


def test_it_learns_and_reloads_to_the_same(trained):
    planner, folder = trained
    losses = [line["train/loss"] for line in folder.noted()]
    assert losses[-1] < losses[0]
    again = LayoutPlanner.from_pretrained(folder.result)
    assert again.plan(CAPTIONS) == planner.plan(CAPTIONS)
    ids = torch.tensor([planner.vocabulary.ask(CAPTIONS[0], planner.tokenizer)])
    with torch.inference_mode():
        one, other = (each.model(input_ids=ids).logits for each in (planner, again))
    assert torch.allclose(one, other, atol=1e-4)


def test_only_matrices_and_tokens_of_layouts_are_kept(trained, base):
    _, folder = trained
    kept = sum(path.stat().st_size for path in folder.result.glob("*.safetensors"))
    assert kept < 0.5 * (base / "model.safetensors").stat().st_size


def test_words_keep_their_embeddings(trained, base):
    again = LayoutPlanner.from_pretrained(trained[1].result)
    table = again.model.get_input_embeddings().weight
    known = len(tiny_tokenizer())
    fresh = load_file(base / "model.safetensors")["model.embed_tokens.weight"].float()
    assert torch.equal(table[:known], fresh[:known])
    assert not torch.equal(table[known : known + 50], fresh[known : known + 50])
    assert again.model.lm_head.weight.data_ptr() == table.data_ptr(), "they stay tied"


def test_a_planner_with_lora_is_a_base_for_more(trained, tmp_path):
    _, folder = trained
    more = LayoutPlanner.from_base(str(folder.result), bins=BINS).with_lora(2)
    more.save_pretrained(tmp_path, base=str(folder.result))
    assert LayoutPlanner.from_pretrained(tmp_path).plan(CAPTIONS) == more.plan(CAPTIONS)


def test_a_base_is_found_from_the_projects_root(trained, base, tmp_path, monkeypatch):
    shutil.copytree(base, tmp_path / "bases" / "qwen")
    shutil.copytree(trained[1].result, tmp_path / "models" / "planner")
    config = tmp_path / "models" / "planner" / "planner_config.json"
    facts = json.loads(config.read_text())
    config.write_text(json.dumps({**facts, "base": "bases/qwen"}))
    monkeypatch.chdir(tmp_path / "bases")
    assert LayoutPlanner.from_pretrained(config.parent).plan(CAPTIONS) == trained[0].plan(CAPTIONS)
    config.write_text(json.dumps({**facts, "base": str(config.parent)}))
    with pytest.raises(InputError, match="names itself as its base"):
        LayoutPlanner.from_pretrained(config.parent)
