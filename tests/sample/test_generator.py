"""The small Kolors: its world, its prompts without pads, its checkpoint in the published layout."""

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, KolorsPipeline, StableDiffusionXLPipeline

from spatialgen.errors import InputError
from spatialgen.grounding.detector import Detector
from spatialgen.sample import generator_latents, train_autoencoder, train_generator
from spatialgen.sample.chatglm import TOKENS, encode_prompts
from spatialgen.sample.draw_generated import draw_captions, noise_of
from spatialgen.sample.generator_data import (
    MOST_THINGS,
    NAMES,
    PIXELS,
    ROOMY,
    STRONG,
    characters,
    draw_small,
    generator_view,
)
from spatialgen.sample.train_generator import SIZES, predict
from spatialgen.sample.world.scenes import SIDE
from tests.sample.generators import (
    TINY,
    model_index,
    start_generator,
    tiny_autoencoder,
    tiny_kolors,
    tiny_sdxl,
)

SHIPPED = Path(train_generator.__file__).with_name("kolors-small")
CAPTIONS = ["", "一只熊猫", "好看的熊猫和两辆公交车简笔画"]
PARTS = {"vae", "text_encoder", "tokenizer", "unet", "scheduler"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def views():
    return [generator_view("validation", 7, index) for index in range(600)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random Kolors checkpoint."""
    return tiny_kolors(tmp_path_factory.mktemp("kolors"))


def load(folder: Path) -> KolorsPipeline:
    """As anyone would."""
    pipeline = KolorsPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_world_holds_one_to_three_large_core_things(views):
    for view in views:
        assert 1 <= len(view.situation.things) <= MOST_THINGS
        assert set(view.situation.things) <= set(NAMES)
        for thing in view.scene.things:
            assert max(thing.box.width, thing.box.height) >= 0.35 * SIDE
    assert len(NAMES) == 12
    assert draw_small(views[0]).size == (PIXELS, PIXELS)


def test_every_rule_that_finds_room_is_one_of_the_world():
    assert {rule.__name__ for rule in STRONG} == ROOMY


def test_captions_name_all_things_and_one_in_twenty_says_where(views):
    for view in views:
        assert all(name in view.situation.caption for name in view.situation.things)
        assert set(view.situation.caption) <= characters()
        assert bool(view.situation.claims) == (view.situation.spatial_type != "none")
    spatial = sum(bool(view.situation.claims) for view in views)
    assert 0.02 < spatial / len(views) < 0.09


def test_captions_without_a_place_say_nothing_of_places(views):
    """Not by their order either: the thing named first is as often left of, or above, the last."""
    sides = []
    for view in views:
        things = view.situation.things
        if view.situation.claims or len(set(things)) < 2:
            continue
        boxes = {thing.name: thing.box for thing in view.scene.things}
        first, last = boxes[things[0]], boxes[things[-1]]
        sides.append((first.x < last.x, first.y < last.y))
    assert len(sides) > 200
    deviation = 0.5 / len(sides) ** 0.5
    assert np.abs(np.mean(sides, 0) - 0.5).max() < 4 * deviation


def test_a_prompt_without_its_pads_is_the_padded_prompt(tiny):
    pipeline = load(tiny)
    with torch.no_grad():
        padded = pipeline.encode_prompt(CAPTIONS, do_classifier_free_guidance=False)
        states, pooled = padded[0], padded[2]
        tokens = [pipeline.tokenizer(caption)["input_ids"] for caption in CAPTIONS]
        ours = encode_prompts(pipeline.text_encoder, tokens)
        noisy = torch.randn(len(CAPTIONS), 4, 16, 16, generator=torch.Generator().manual_seed(0))
        told = {"text_embeds": pooled, "time_ids": torch.tensor([SIZES] * len(CAPTIONS)).float()}
        step = torch.tensor(500)
        expected = pipeline.unet(
            noisy, step, encoder_hidden_states=states, added_cond_kwargs=told
        ).sample
        predicted = predict(pipeline.unet, noisy, step, ours)
    assert states.shape[1] == TOKENS > 5 * ours.states.shape[1]
    assert torch.allclose(ours.pooled, pooled, atol=1e-4)
    for row, each in enumerate(tokens):
        assert torch.allclose(ours.states[row, 0], states[row, 0], atol=1e-4)
        assert torch.allclose(ours.states[row, -len(each) :], states[row, -len(each) :], atol=1e-4)
    assert torch.allclose(predicted, expected, atol=1e-3)
    assert float((predicted[1] - predicted[2]).abs().max()) > 0.01  # captions are heard


def same_picture(folder: Path) -> None:
    pipeline = load(folder)
    stock = pipeline(CAPTIONS[1], num_inference_steps=3, generator=noise_of(5, 0)).images[0]
    (ours,) = draw_captions(pipeline, [CAPTIONS[1]], seed=5, steps=3)
    assert np.abs(np.asarray(stock).astype(int) - np.asarray(ours)).max() <= 1
    assert np.asarray(stock).std() > 1


@pytest.mark.parametrize("folder", [None, SHIPPED], ids=["new", "shipped"])
def test_stock_pipeline_draws_our_picture(folder, tiny):
    same_picture(folder or tiny)


@pytest.mark.parametrize("folder", [None, SHIPPED], ids=["new", "shipped"])
def test_checkpoint_has_kolors_layout_and_is_small(folder, tiny):
    folder = folder or tiny
    assert {path.name for path in folder.iterdir() if path.is_dir()} == PARTS
    index = model_index(folder)
    assert {name for name, part in index.items() if isinstance(part, list) and part[0]} == PARTS
    assert index["_class_name"] == "KolorsPipeline"
    assert index["force_zeros_for_empty_prompt"] is False
    for path in folder.rglob("*.*"):
        assert path.stat().st_size < 15_000_000
        assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444
        if path.suffix == ".json":
            assert "_name_or_path" not in path.read_text(encoding="utf-8")
    pipeline = load(folder)
    assert sum(each.numel() for each in pipeline.unet.parameters()) < 7_000_000
    assert pipeline.unet.config.encoder_hid_dim_type == "text_proj"
    assert pipeline.unet.config.addition_embed_type == "text_time"
    for part in ("unet", "vae"):
        file = folder / part / "diffusion_pytorch_model.safetensors"
        assert file.stat().st_size < 1.02 * 2 * sum(
            each.numel() for each in getattr(pipeline, part).parameters()
        )  # fp16


def test_pictures_of_a_caption_do_not_depend_on_those_beside_it(tiny):
    pipeline = load(tiny)
    (alone,) = draw_captions(pipeline, CAPTIONS[1:2], steps=2)
    beside, _ = draw_captions(pipeline, CAPTIONS[1:], steps=2)
    assert np.abs(np.asarray(alone).astype(int) - np.asarray(beside)).max() <= 1


def test_parts_are_made_once_and_belong_together(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(generator_latents, "PART", 4)
    pipeline = load(tiny)
    parts = generator_latents.LatentParts(tmp_path, pipeline.vae, "train", 3)
    parts.grow(2)
    view = generator_view("train", 3, 6)
    assert parts.captions[6] == view.situation.caption
    expected = generator_latents.encode_views(pipeline.vae, [view])
    assert torch.allclose(parts.rows([6]), expected, atol=0.01)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = generator_latents.LatentParts(tmp_path, pipeline.vae, "train", 3)
    again.grow(2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert torch.equal(again.rows(range(8)), parts.rows(range(8)))


def test_sdxl_layout_loads_and_draws(tmp_path):
    folder = tiny_sdxl(tmp_path / "sdxl")
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    draw = {"num_inference_steps": 2, "output_type": "np"}
    one, two = (
        pipeline(caption, generator=noise_of(0, 0), **draw).images[0] for caption in CAPTIONS[1:]
    )
    assert one.shape == (PIXELS, PIXELS, 3)
    assert np.isfinite(one).all()
    assert np.abs(one - two).max() > 0


def test_standardised_autoencoder_rebuilds_the_same():
    torch.manual_seed(0)
    autoencoder = AutoencoderKL(**train_autoencoder.CONFIG)
    pixels = torch.rand(4, 3, PIXELS, PIXELS) * 2 - 1
    with torch.no_grad():
        before = autoencoder.encode(pixels).latent_dist
        rebuilt = autoencoder.decode(before.mean).sample
        mean, deviation = before.mean.mean((0, 2, 3)), before.mean.std((0, 2, 3))
        train_autoencoder.standardise(autoencoder, mean, deviation)
        after = autoencoder.encode(pixels).latent_dist
        again = autoencoder.decode(after.mean).sample
    assert torch.allclose(after.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(after.mean.std((0, 2, 3)), torch.ones(4), atol=1e-5)
    assert torch.allclose(after.std * deviation.view(1, -1, 1, 1), before.std, rtol=1e-4)
    assert torch.allclose(again, rebuilt, atol=1e-4)


@pytest.mark.parametrize("length", [253, 254, 300])
def test_prompts_as_long_as_kolors_reads_and_longer(tiny, length):
    pipeline, caption = load(tiny), "熊猫" * length
    with torch.no_grad():
        padded = pipeline.encode_prompt(caption[:length], do_classifier_free_guidance=False)
        ours = encode_prompts(
            pipeline.text_encoder, [pipeline.tokenizer(caption[:length])["input_ids"]]
        )
    words = min(length + 2, TOKENS)
    assert torch.allclose(ours.states[0, -words:], padded[0][0, -words:], atol=1e-4)
    assert torch.allclose(ours.pooled, padded[2], atol=1e-4)
    assert bool(ours.mask[0, 0] > 0.5) == (words < TOKENS), "a pad only where there is one"


def test_it_learns_the_velocity_weighted_by_min_snr(tmp_path, monkeypatch):
    run = start_generator(tmp_path)
    latents = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0.0, 0.3, 0.6, 0.99])
    steps = (times * len(run.signal)).long()
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
    scheduler = DDPMScheduler.from_config(run.scheduler.config)
    velocity = scheduler.get_velocity(latents, noise, steps)
    monkeypatch.setattr(train_generator, "predict", lambda *_: velocity)
    error, weight = run.errors(latents, run.tokenise([""] * 4), times,
                               torch.Generator().manual_seed(2))  # fmt: skip
    assert error.max() < 1e-10
    ratio = run.signal[steps] / (1 - run.signal[steps])
    assert torch.allclose(weight, ratio.clamp(max=5) / (ratio + 1))


def test_the_rate_is_constant_between_its_rise_and_its_fall(tmp_path):
    run = start_generator(tmp_path, replace(TINY, steps=1000, warmup=0.01))
    rates = []
    for run.step in (0, 4, 10, 500, 700, 850, 999):
        rates.append(run.rate() / run.settings.rate)
    assert rates == pytest.approx([0.1, 0.5, 1, 1, 1, 0.5, 1 / 300])


def test_too_few_validation_pictures_are_said_at_once(tmp_path):
    tiny_autoencoder(tmp_path / "vae" / "model")
    with pytest.raises(InputError, match="--validation 2"):
        train_generator.start(TINY, "cpu", 2, tmp_path)


def test_16_bits_are_refused_for_the_mask(tiny):
    pipeline = load(tiny)
    prompts = encode_prompts(pipeline.text_encoder, [pipeline.tokenizer("")["input_ids"]])
    with pytest.raises(ValueError, match="too coarse"):
        predict(pipeline.unet, torch.zeros(1, 4, 16, 16).bfloat16(), torch.tensor(1), prompts)


def test_the_shipped_generator_draws_single_things_that_the_detector_knows():
    pipeline, captions = load(SHIPPED), [f"一个{name}" for name in NAMES]
    pictures = list(draw_captions(pipeline, captions, steps=12))
    found = Detector.from_pretrained(SHIPPED.with_name("judge-small")).detect(pictures)
    there = [name in {thing.name for thing in things} for name, things in zip(NAMES, found,
             strict=True)]  # fmt: skip
    assert sum(there) >= 9
