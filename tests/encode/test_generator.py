"""Encoders of tiny checkpoints against what the stock pipelines give their UNet."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from spatialgen.encode.generator import Generator, same_bits
from spatialgen.encode.states import PromptStates
from spatialgen.errors import InputError, ParamsError, RowsError
from tests.encode.lakes import noise

TEXTS = ["小猫在箱子的左边", "a red car", "狗", "左" * 300]


@pytest.fixture(params=["kolors", "sdxl"])
def model(request):
    """The folder of each checkpoint in turn."""
    return request.getfixturevalue(request.param)


def told(folder, **options):
    """(states, pooled) of each row that the stock pipeline gives its UNet at its first step."""
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    seen = []

    def look(module, arguments, named):
        del module, arguments
        seen.append((named["encoder_hidden_states"], named["added_cond_kwargs"]["text_embeds"]))

    pipeline.unet.register_forward_pre_hook(look, with_kwargs=True)
    pipeline(num_inference_steps=1, output_type="latent", **options)
    return list(zip(*seen[0], strict=True))


def test_prompts_are_what_the_stock_pipeline_gives_its_unet(model):
    states = Generator.read(str(model), None).load_texts("cpu", "float32").encode_texts(TEXTS)
    given = told(model, prompt=TEXTS, guidance_scale=1.0)
    for (full, pooled), ours in zip(given, states, strict=True):
        assert same_bits(ours.expand(), full)
        assert same_bits(ours.pooled, pooled)


def test_no_caption_is_the_stock_pipelines_unguided_half(model):
    (unguided, pooled), _ = told(model, prompt="狗", guidance_scale=5.0)
    encoder = Generator.read(str(model), None).load_texts("cpu", "float32")
    (ours,) = encoder.encode_texts([""])
    assert same_bits(ours.expand(), unguided)
    assert same_bits(ours.pooled, pooled)
    zeros = encoder.pipeline.config.force_zeros_for_empty_prompt
    assert bool(unguided.any()) == (not zeros)
    _, again = encoder.encode_texts(["狗", ""])
    assert torch.allclose(again.expand(), unguided, atol=1e-5)


def test_kolors_pads_become_one_row_and_other_rows_stay(kolors, sdxl):
    short, long = (
        Generator.read(str(kolors), None).load_texts("cpu", "auto").encode_texts(["狗", "左" * 300])
    )
    assert (short.pads + len(short.states), len(short.states) < 8) == (257, True)
    assert (long.pads, len(long.states)) == (1, 256)
    (other,) = Generator.read(str(sdxl), None).load_texts("cpu", "auto").encode_texts(["狗"])
    assert (other.pads, len(other.states)) == (1, 77)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_states_keep_the_encoders_precision(kolors, dtype):
    (states,) = Generator.read(str(kolors), None).load_texts("cpu", dtype).encode_texts(["小猫"])
    assert states.dtype == dtype
    assert len(states.expand()) == 256


def test_latents_are_the_scaled_means(model):
    network = DiffusionPipeline.from_pretrained(model).vae
    pictures = [Image.open(noise_file(n)).convert("RGB") for n in range(3)]
    values = np.stack([np.asarray(picture, np.float32) for picture in pictures])
    pixels = torch.from_numpy(values).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        wanted = network.encode(pixels).latent_dist.mean * network.config.scaling_factor
    encoder = Generator.read(str(model), None).load_pictures("cpu", "auto")
    latents = encoder.encode_pictures(pictures)
    assert latents.dtype == torch.float32
    assert torch.allclose(latents, wanted, atol=1e-4)
    network.register_to_config(shift_factor=0.5, scaling_factor=2.0)
    shifted = type(encoder)(network).encode_pictures(pictures)
    base = wanted / encoder.autoencoder.config.scaling_factor
    assert torch.allclose(shifted, (base - 0.5) * 2, atol=1e-4)


def noise_file(number):
    return io.BytesIO(noise(number, (48, 80)))


def test_an_autoencoder_that_asks_for_it_computes_in_float32(kolors, tmp_path):
    folder = changed(kolors, tmp_path, "vae/config.json", force_upcast=True)
    loaded = Generator.read(str(folder), None).load_pictures("cpu", "bfloat16")
    assert loaded.autoencoder.dtype == torch.float32
    loaded = Generator.read(str(kolors), None).load_pictures("cpu", "bfloat16")
    assert loaded.autoencoder.dtype == torch.bfloat16


def changed(model, tmp_path, name, **values):
    """A copy of a checkpoint with other values in one of its JSON files."""
    folder = tmp_path / "changed"
    shutil.copytree(model, folder)
    config = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps({**config, **values}), encoding="utf-8")
    return folder


def test_steps_that_do_not_fit_the_unet_are_refused(kolors):
    generator = Generator.read(str(kolors), None)
    assert (generator.cell, generator.multiple) == (4, 16)
    generator.check_step(48)
    with pytest.raises(ParamsError, match=r"encode\.step = 24 is no multiple of the 16 pixels"):
        generator.check_step(24)


def test_what_is_no_kolors_or_sdxl_pipeline_is_refused(kolors, tmp_path):
    with pytest.raises(InputError, match=r"encode\.model = .* cannot be used"):
        Generator.read(str(kolors / "vae"), None)
    other = changed(kolors, tmp_path, "model_index.json", _class_name="FluxPipeline")
    with pytest.raises(InputError, match="says FluxPipeline"):
        Generator.read(str(other), None)
    (other / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    shutil.copy(kolors / "model_index.json", other)
    with pytest.raises(InputError, match="give a folder or hub id of a Kolors or SDXL pipeline"):
        Generator.read(str(other), None).load_pictures("cpu", "auto")


def test_states_that_do_not_come_back_name_their_text(kolors, monkeypatch):
    encoder = Generator.read(str(kolors), None).load_texts("cpu", "auto")
    monkeypatch.setattr(PromptStates, "expand", lambda self: self.states)
    with pytest.raises(RowsError, match="the states of '小猫' are not restored bit for bit"):
        encoder.encode_texts(["小猫"])
