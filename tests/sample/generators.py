"""Random tiny checkpoints in the layouts of Kolors and of SDXL, built where a test wants one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from spatialgen.sample import train_autoencoder, train_generator
from spatialgen.sample.training import Settings

TINY = Settings(steps=4, batch=2, every=4)
WIDTH = 32  # of each CLIP encoder


def tiny_autoencoder(folder: Path) -> Path:
    """An untrained autoencoder's folder."""
    if not folder.exists():
        train_autoencoder.AutoencoderTraining(TINY, validation=2).publish(folder)
    return folder


def start_generator(folder: Path, settings: Settings = TINY) -> train_generator.GeneratorTraining:
    """A training that has not begun."""
    tiny_autoencoder(folder / "vae" / "model")
    return train_generator.start(settings, "cpu", 3, folder)


def tiny_kolors(folder: Path) -> Path:
    """An untrained generator's folder."""
    run = start_generator(folder, replace(TINY, seed=1))
    run.publish(folder / "model")
    return folder / "model"


def tiny_sdxl(folder: Path) -> Path:
    """A random checkpoint of StableDiffusionXLPipeline: two CLIP encoders, bytes as tokens."""
    torch.manual_seed(0)
    letters = sorted(ByteLevel.alphabet())
    texts = [*letters, *(letter + "</w>" for letter in letters)]
    texts += ["<|startoftext|>", "<|endoftext|>"]
    vocab: Any = {text: number for number, text in enumerate(texts)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        projection_dim=WIDTH,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=vocab["<|endoftext|>"],
    )
    size = {"block_out_channels": (16, 32, 32), "attention_head_dim": (1, 2, 2)}
    unet: dict[str, Any] = {**train_generator.UNET, **size, "cross_attention_dim": 2 * WIDTH}
    unet["projection_class_embeddings_input_dim"] = WIDTH + 6 * train_generator.TIME_WIDTH
    del unet["encoder_hid_dim"], unet["encoder_hid_dim_type"]  # SDXL's UNet takes states as is
    autoencoder: dict[str, Any] = {**train_autoencoder.CONFIG, "block_out_channels": (8, 8, 16)}
    StableDiffusionXLPipeline(
        vae=AutoencoderKL(**autoencoder),
        text_encoder=CLIPTextModel(config),
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=UNet2DConditionModel(**unet),
        scheduler=EulerDiscreteScheduler(**train_generator.SCHEDULER),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def model_index(folder: Path) -> dict[str, Any]:
    """What a pipeline's folder says of its parts."""
    index: dict[str, Any] = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    return index
