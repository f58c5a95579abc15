"""Train the small text model that judges captions: Qwen2 architecture, a few MB, CPU only.

    python -m spatialgen.sample.train_text --captions coco-cn_ext.icap2020.txt --out DIR

The loss is the cross entropy of the label token after the shipped prompt, whose prefix is computed
once per batch with gradient and shared, as `CaptionClassifier` does. Data, weights and order follow
from `--seed`; a run killed at any point continues from its last checkpoint with `--resume` and ends
with the same weights. `OUT/model` then holds the published files; copy them to
`spatialgen/sample/qwen2-small/`.
"""

import argparse
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from spatialgen.captions.classifier import CLASSES, pad_left
from spatialgen.captions.prompt import PromptTokens, read_prompt, tokenise_prompt
from spatialgen.errors import InputError
from spatialgen.project import guard
from spatialgen.sample.mix.caption_mix import CaptionMix
from spatialgen.sample.mix.sources import Sample, load_words, read_captions, read_names
from spatialgen.sample.model_files import publish_folder
from spatialgen.sample.tokenizer import common_characters, make_tokenizer
from spatialgen.sample.training import (
    Settings,
    Training,
    add_arguments,
    add_settings,
    prepare,
    settings_of,
    train,
)

RUBRIC = Path(__file__).parents[1] / "captions" / "rubric.txt"
LABELS = {"strong": "A", "weak": "B", "none": "C"}
PUNCTUATION = "，。！？；：、“”‘’（）【】《》「」…—·￥～｜％－"
SIZES = {  # 1.1 M parameters, half of them the embedding
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
}
POOL = 8  # batches drawn together and cut by length, so that little is padding
# The first steps see little of the prompt: among its 200 tokens a fresh model does not find the
# caption (no progress in 200 steps), without them it does in 100, and keeps it when they join.
BARE, BARE_TOKENS = 0.25, 3  # share of the steps, tokens of the prefix
SMOOTHING = 0.06  # of the target, so that probabilities stay off 0 and 1 and can be thresholds
VALIDATION = 400  # rule-labelled real captions kept from training
DEFAULTS = Settings(steps=2400, batch=128, rate=2e-3)


def build(
    captions: Sequence[str], seed: int, sizes: Mapping[str, int]
) -> tuple[Qwen2ForCausalLM, Qwen2Tokenizer]:
    """A fresh model, and a tokenizer that knows the common characters and those of `captions`."""
    counts: dict[str, int] = {}
    for character in "".join(captions):
        counts[character] = counts.get(character, 0) + 1
    frequent = [c for c, n in counts.items() if n >= 3 and ord(c) > 127]
    tokenizer = make_tokenizer([*common_characters(), *PUNCTUATION, *frequent])
    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "vocab_size": -(-len(tokenizer) // 8) * 8,
        "tie_word_embeddings": True,
        "rope_theta": 10_000.0,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        **sizes,
    }
    return Qwen2ForCausalLM(Qwen2Config(**options)), tokenizer


def label_logits(
    model: Qwen2ForCausalLM, tokens: PromptTokens, captions: list[list[int]], pad: int
) -> torch.Tensor:
    """[n, vocabulary] logits after the prompt around each caption, the prefix's states shared."""
    tails = [[*ids, *tokens.suffix] for ids in captions]
    cache = DynamicCache(config=model.config)
    model.model(torch.tensor([tokens.prefix]), cache=cache, use_cache=True)
    cache.batch_repeat_interleave(len(tails))
    inputs = pad_left(tails, past=len(tokens.prefix), pad=pad)
    logits: torch.Tensor = model(
        **{name: torch.from_numpy(values) for name, values in inputs.items()},
        cache=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return logits[:, -1]


class TextTraining(Training):
    """The judge of `settings.seed`, trained on `mix` and watched on `held_out`."""

    def __init__(
        self,
        mix: CaptionMix,
        held_out: list[Sample],
        settings: Settings,
        prompt: str,
        sizes: Mapping[str, int] = SIZES,
    ) -> None:
        self.mix, self.held_out = mix, held_out
        every = [caption for pool in mix.captions.values() for caption in pool]
        self.model, self.tokenizer = build(sorted(every), settings.seed, sizes)
        self.tokens = tokenise_prompt(self.tokenizer, prompt, LABELS)
        self._pool: tuple[int, list[list[tuple[list[int], int]]]] = (-1, [])
        pools = [*sorted(every), *(caption for caption, _ in held_out), prompt, *mix.things]
        data = hashlib.md5("\n".join(pools).encode(), usedforsecurity=False).hexdigest()
        super().__init__(self.model, settings, data)

    def prompt(self) -> PromptTokens:
        """The prompt of the present step: short at first, then whole."""
        if self.step < int(BARE * self.settings.steps):
            return replace(self.tokens, prefix=self.tokens.prefix[:BARE_TOKENS])
        return self.tokens

    def batch(self, step: int) -> list[tuple[list[int], int]]:
        """Token ids and class of the captions of `step`, a function of the seed and `step`."""
        number, place = divmod(step, POOL)
        if self._pool[0] != number:
            rng = random.Random(f"{self.settings.seed}:{number}")
            size = self.settings.batch
            drawn = [self.mix.draw(rng) for _ in range(POOL * size)]
            ids = self._encode([caption for caption, _ in drawn])
            rows = [(i, CLASSES.index(label)) for i, (_, label) in zip(ids, drawn, strict=True)]
            rows.sort(key=lambda row: len(row[0]))
            batches = [rows[start : start + size] for start in range(0, len(rows), size)]
            rng.shuffle(batches)
            self._pool = (number, batches)
        return self._pool[1][place]

    def _encode(self, captions: list[str]) -> list[list[int]]:
        encoded = self.tokenizer(captions, add_special_tokens=False, split_special_tokens=True)
        return [ids[:128] for ids in encoded["input_ids"]]

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        """The cross entropy in nats of the label token, against smoothed labels."""
        rows = self.batch(step)
        pad = int(self.tokenizer.pad_token_id)
        logits = label_logits(self.model, self.prompt(), [ids for ids, _ in rows], pad)
        labels = torch.tensor(self.tokens.labels)
        target = torch.full((len(rows), len(labels)), SMOOTHING / len(labels))
        target[torch.arange(len(rows)), [label for _, label in rows]] += 1 - SMOOTHING
        return {"loss": -(target * logits.log_softmax(-1)[:, labels]).sum(-1).mean()}

    def evaluate(self) -> dict[str, float]:
        """Share of the held-out captions judged as the rules do."""
        ids, right = self._encode([caption for caption, _ in self.held_out]), 0
        for start in range(0, len(ids), 64):
            part = ids[start : start + 64]
            logits = label_logits(self.model, self.prompt(), part, self.tokens.suffix[0])
            guess = logits[:, self.tokens.labels].argmax(-1).tolist()
            truth = [label for _, label in self.held_out[start : start + 64]]
            right += sum(CLASSES[g] == t for g, t in zip(guess, truth, strict=True))
        return {"accuracy": right / max(1, len(ids))}

    def publish(self, folder: Path) -> None:
        """The averaged weights in fp16 and the tokenizer, in Qwen2's file layout."""
        publish_folder(folder, self.model, self.average, self.tokenizer)


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the captions are, and what they are judged by."""
    parser.add_argument("--captions", type=Path, help="id<tab>caption lines; the text model's")
    parser.add_argument("--names", type=Path, help="emoji index.json, for more nouns")
    parser.add_argument("--exclude", type=Path, help="JSONL of captions to keep out of training")
    parser.add_argument("--prompt", type=Path, default=RUBRIC)


def start(options: argparse.Namespace, settings: Settings = DEFAULTS) -> TextTraining:
    """A training on the captions of `add_text_arguments`' options."""
    if options.captions is None:
        raise InputError("the text model learns from captions; give their file with --captions")
    excluded: list[str] = []
    if options.exclude:
        lines = options.exclude.read_text(encoding="utf-8").splitlines()
        excluded = [json.loads(line)["caption"] for line in lines]
    samples = read_captions(options.captions, excluded)
    random.Random(0).shuffle(samples)
    held_out = samples[: min(VALIDATION, len(samples) // 10)]
    words = load_words(read_names(options.names) if options.names else ())
    mix = CaptionMix(samples[len(held_out) :], words)
    return TextTraining(mix, held_out, settings, read_prompt(options.prompt))


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description="Train the small caption judge.")
    add_arguments(parser)
    add_settings(parser, DEFAULTS)
    add_text_arguments(parser)
    options = parser.parse_args()
    prepare(options)
    run = start(options, settings_of(options, DEFAULTS))
    train(run, options.out, resume=options.resume, seconds=options.seconds, quiet=options.quiet)


if __name__ == "__main__":
    guard(main)
