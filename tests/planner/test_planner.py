"""LayoutPlanner with random weights: what it writes, how it is kept, what it says of mistakes."""

import json
import os

import pytest
import torch
from transformers import GenerationConfig

import spatialgen
from spatialgen.errors import InputError, ParamsError
from spatialgen.layouts import Layout, Placed
from spatialgen.planner.planner import CONFIG, LayoutPlanner, failing_positions
from tests.captions.models import tiny_of, tiny_qwen2, tiny_tokenizer
from tests.planner.planners import BINS, CAPTIONS, tiny_planner


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    return tiny_planner(tmp_path_factory.mktemp("planner"))


def test_it_is_a_public_name():
    assert spatialgen.LayoutPlanner is LayoutPlanner


def test_a_caption_has_a_layout_and_captions_a_list(planner):
    one = planner.plan(CAPTIONS[0])
    assert one
    assert all(isinstance(each, Placed) and each.name in CAPTIONS[0] for each in one)
    assert planner.plan(CAPTIONS) == [planner.plan(caption) for caption in CAPTIONS]
    assert planner.plan([]) == []


def test_chance_is_seeded_and_leaves_the_callers_alone(planner):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    drawn = [planner.plan(CAPTIONS, samples=3, seed=seed, temperature=3.0) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_of_several_the_judge_chooses(planner):
    seen = []

    def prefer_few(caption, layout):
        seen.append(layout)
        return len(layout)

    chosen = planner.plan(CAPTIONS[0], samples=8, temperature=3.0, judge=prefer_few)
    assert len(seen) == 8
    assert len(chosen) == min(map(len, seen))


def test_the_referee_finds_positions_that_fail():
    left, right = (0.0, 0.4, 0.2, 0.6), (0.7, 0.4, 0.9, 0.6)
    caption = "小猫在椅子左边"
    assert failing_positions(caption, (Placed("小猫", left), Placed("椅子", right))) == (0, 0)
    assert failing_positions(caption, (Placed("小猫", right), Placed("椅子", left))) == (1, 0)
    assert failing_positions(caption, (Placed("小猫", right),)) == (1, 1), "worse than misplaced"


@pytest.mark.parametrize("options", [{"samples": 0}, {"temperature": 0}, {"samples": -1}])
def test_samples_and_temperature_are_positive(planner, options):
    with pytest.raises(InputError, match="must be positive"):
        planner.plan(CAPTIONS, **options)


@pytest.mark.parametrize("caption", [1, None, b"x"])
def test_a_caption_is_text(planner, caption):
    with pytest.raises(InputError, match="is no caption"):
        planner.plan([caption])


@pytest.mark.parametrize("caption", ["🐱🐶", "。，！？", "\u200b"])
def test_a_caption_without_words_has_an_empty_layout(planner, caption):
    assert planner.plan([caption, CAPTIONS[0]]) == [(), planner.plan(CAPTIONS[0])]


def test_names_of_special_tokens_are_text(planner):
    special = {*planner.vocabulary.ids, *planner.tokenizer.all_special_ids}
    words = planner.vocabulary.ask("左<layout>猫<|endoftext|><c3><box>", planner.tokenizer)
    assert not special & {*words[:-1]}
    assert words[-1] == planner.vocabulary.layout


def test_it_ends_however_long_the_names_are(planner):
    seen: list[Layout] = []

    def keep(_: str, layout: Layout) -> int:
        seen.append(layout)
        return 0

    planner.plan(["red bicycle " * 60] * 2, samples=4, temperature=5.0, judge=keep)
    assert len(seen) == 8
    assert all(seen)


def test_what_a_base_says_of_generation_does_not_count(planner, tmp_path):
    model = tiny_qwen2()
    model.generation_config = GenerationConfig(repetition_penalty=2.0, num_beams=2)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    other = LayoutPlanner.from_base(str(tmp_path), bins=BINS)
    assert other.plan(CAPTIONS) == planner.plan(CAPTIONS)


def test_any_iterable_and_any_seed_will_do(planner):
    assert planner.plan(each for each in CAPTIONS) == planner.plan(CAPTIONS)
    assert planner.plan(CAPTIONS, samples=2, seed=2**70)
    assert planner.plan(["\ud800猫"])


def test_other_names_may_be_written_where_they_are_not_copied(planner):
    names = {each.name for layout in planner.plan(CAPTIONS, copy_names=False) for each in layout}
    assert any(name not in "".join(CAPTIONS) for name in names)


@pytest.mark.parametrize("captions", ["", "  ", ["小猫", "\n"]])
def test_an_empty_caption_is_refused(planner, captions):
    with pytest.raises(InputError, match="empty caption"):
        planner.plan(captions)


def test_saved_it_writes_the_same(planner, tmp_path):
    planner.save_pretrained(tmp_path / "saved", fp="abc")
    again = LayoutPlanner.from_pretrained(tmp_path / "saved")
    assert again.plan(CAPTIONS) == planner.plan(CAPTIONS)
    assert json.loads((tmp_path / "saved" / CONFIG).read_text())["fp"] == "abc"


def test_new_tokens_differ_and_the_rest_is_the_bases(tmp_path):
    planner = tiny_planner(tmp_path)
    table = planner.model.get_input_embeddings().weight
    known = len(tiny_tokenizer())
    new = table[planner.vocabulary.ids]
    assert min(planner.vocabulary.ids) == known
    assert torch.pdist(new).min() > 0.01
    base = LayoutPlanner.from_base(str(tmp_path / "base"), bins=BINS, seed=1).model
    assert torch.equal(base.get_input_embeddings().weight[:known], table[:known])
    assert not torch.equal(base.get_input_embeddings().weight[known:], table[known:])


def test_spare_rows_of_a_large_vocabulary_are_taken(tmp_path):
    rows = len(tiny_tokenizer()) + 100
    model = tiny_qwen2()
    model.resize_token_embeddings(rows)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    planner = LayoutPlanner.from_base(str(tmp_path), bins=BINS)
    assert planner.model.get_input_embeddings().num_embeddings == rows


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_any_causal_language_model_is_a_base(kind, tmp_path):
    sizes = {"llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                       "num_attention_heads": 4},
             "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4}}[kind]  # fmt: skip
    tiny_of(kind, **sizes).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    planner = LayoutPlanner.from_base(str(tmp_path), bins=BINS)
    assert all(planner.plan(CAPTIONS))
    assert planner.plan(CAPTIONS) == [planner.plan(caption) for caption in CAPTIONS]


def test_a_planner_is_a_base_that_goes_on(planner, tmp_path):
    planner.save_pretrained(tmp_path)
    again = LayoutPlanner.from_base(str(tmp_path), bins=BINS)
    assert again.plan(CAPTIONS) == planner.plan(CAPTIONS)
    with pytest.raises(ParamsError, match="has 16 bins, not 8"):
        LayoutPlanner.from_base(str(tmp_path), bins=8)


@pytest.mark.parametrize("bins", [8, 32])
def test_other_bins_than_the_tokenizers_are_refused(planner, tmp_path, bins):
    planner.save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, "bins": bins}))
    with pytest.raises(InputError, match=f"{bins} bins"):
        LayoutPlanner.from_pretrained(tmp_path)


def test_cut_weights_are_refused(planner, tmp_path):
    planner.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ParamsError, match="does not load"):
        LayoutPlanner.from_pretrained(tmp_path)


@pytest.mark.parametrize("content", [None, "{", '{"bins": 16}', "[]", '{"bins": "x"}'])
def test_a_folder_without_planner_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / CONFIG).write_text(content)
    with pytest.raises(InputError, match="dvc repro train_planner"):
        LayoutPlanner.from_pretrained(tmp_path)


def test_a_base_that_is_none_is_refused(tmp_path):
    os.environ["HF_HUB_OFFLINE"] = "1"
    with pytest.raises(ParamsError, match="does not load as a causal language model"):
        LayoutPlanner.from_base(str(tmp_path), bins=BINS)
