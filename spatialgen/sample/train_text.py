"""Train the small text model that judges captions: Qwen2 architecture, a few MB, CPU only.

    python -m spatialgen.sample.train_text --captions coco-cn_ext.icap2020.txt --out DIR

needs the extra `train` (jieba's word list). The loss is the cross entropy of the label token after
the shipped prompt, whose prefix is computed once per batch with gradient and shared, as
`CaptionClassifier` does. Data, weights and order follow from `--seed`; a run killed at any point
continues from its last checkpoint with `--resume` and ends with the same weights. `OUT/model` then
holds the published files; copy them to `spatialgen/sample/qwen2-small/`.
"""

import argparse
import json
import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from spatialgen.captions.classifier import CLASSES, pad_left
from spatialgen.captions.prompt import PromptTokens, read_prompt, tokenise_prompt
from spatialgen.sample.caption_mix import CaptionMix
from spatialgen.sample.mix_sources import Sample, load_words, read_captions, read_names
from spatialgen.sample.tokenizer import common_characters, make_tokenizer

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
WARMUP = 0.05  # share of the steps
SMOOTHING = 0.06  # of the target, so that probabilities stay off 0 and 1 and can be thresholds
EMA = 0.998  # per step; the averaged weights are the ones published
VALIDATION = 400  # rule-labelled real captions kept from training
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Settings:
    """What a run is; a checkpoint continues only a run of equal settings."""

    steps: int = 2000
    seed: int = 0
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.05
    every: int = 200  # steps between checkpoints
    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))


def build(captions: Sequence[str], settings: Settings) -> tuple[Qwen2ForCausalLM, Qwen2Tokenizer]:
    """A fresh model, and a tokenizer that knows the common characters and those of `captions`."""
    counts: dict[str, int] = {}
    for character in "".join(captions):
        counts[character] = counts.get(character, 0) + 1
    frequent = [c for c, n in counts.items() if n >= 3 and ord(c) > 127]
    tokenizer = make_tokenizer([*common_characters(), *PUNCTUATION, *frequent])
    torch.manual_seed(settings.seed)
    options: dict[str, Any] = {
        "vocab_size": -(-len(tokenizer) // 8) * 8,
        "tie_word_embeddings": True,
        "rope_theta": 10_000.0,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        **settings.sizes,
    }
    return Qwen2ForCausalLM(Qwen2Config(**options)), tokenizer


def label_logits(
    model: Qwen2ForCausalLM, tokens: PromptTokens, captions: list[list[int]], pad: int
) -> torch.Tensor:
    """[n, vocabulary] logits after the prompt around each caption, the prefix's states shared."""
    tails = [[*ids, *tokens.suffix] for ids in captions]
    cache = DynamicCache(config=model.config)
    model.model(torch.tensor([tokens.prefix]), past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(tails))
    inputs = pad_left(tails, past=len(tokens.prefix), pad=pad)
    logits: torch.Tensor = model(
        **{name: torch.from_numpy(values) for name, values in inputs.items()},
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return logits[:, -1]


class Training:
    """One run: model, averaged weights, optimiser and the step reached."""

    def __init__(
        self, mix: CaptionMix, held_out: list[Sample], settings: Settings, prompt: str
    ) -> None:
        self.mix, self.held_out, self.settings = mix, held_out, settings
        every = [caption for pool in mix.captions.values() for caption in pool]
        self.model, self.tokenizer = build(sorted(every), settings)
        self.tokens = tokenise_prompt(self.tokenizer, prompt, LABELS)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=settings.rate,
            betas=(0.9, 0.98),
        )
        self.step = 0
        self._pool: tuple[int, list[list[tuple[list[int], int]]]] = (-1, [])

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

    def train_step(self) -> float:
        """One optimiser step; returns its loss in nats."""
        rows = self.batch(self.step)
        total, warm = self.settings.steps, max(1, int(self.settings.steps * WARMUP))
        left = (self.step - warm) / max(1, total - warm)
        cosine = 0.5 * (1 + float(np.cos(np.pi * max(0.0, left))))
        scale = min(1.0, (self.step + 1) / warm) * (0.02 + 0.98 * cosine)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * scale
        pad = int(self.tokenizer.pad_token_id)
        logits = label_logits(self.model, self.prompt(), [ids for ids, _ in rows], pad)
        labels = torch.tensor(self.tokens.labels)
        target = torch.full((len(rows), len(labels)), SMOOTHING / len(labels))
        target[torch.arange(len(rows)), [label for _, label in rows]] += 1 - SMOOTHING
        loss = -(target * logits.log_softmax(-1)[:, labels]).sum(-1).mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(EMA, self.step / (self.step + 10))  # forgets the random start sooner
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return float(loss.detach())

    def accuracy(self) -> float:
        """Share of the held-out captions that the averaged weights judge as the rules do."""
        current = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        ids, right = self._encode([caption for caption, _ in self.held_out]), 0
        with torch.inference_mode():
            for start in range(0, len(ids), 64):
                part = ids[start : start + 64]
                logits = label_logits(self.model, self.prompt(), part, self.tokens.suffix[0])
                guess = logits[:, self.tokens.labels].argmax(-1).tolist()
                truth = [label for _, label in self.held_out[start : start + 64]]
                right += sum(CLASSES[g] == t for g, t in zip(guess, truth, strict=True))
        self.model.load_state_dict(current)
        return right / max(1, len(ids))

    def save(self, path: Path) -> None:
        """Write a checkpoint that replaces the last one at once, or not at all."""
        state = {
            "settings": vars(self.settings),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of a run of equal settings; ValueError for another's."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if state["settings"] != vars(self.settings):
            raise ValueError(
                f"{path} is of a run with {state['settings']}, not {vars(self.settings)}; "
                "repeat its arguments or start anew without --resume"
            )
        self.step, self.average = int(state["step"]), state["average"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])

    def publish(self, folder: Path) -> None:
        """Write the averaged weights in fp16 and the tokenizer, in Qwen2's file layout."""
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        # The output layer is the embedding, so it is left out.
        tied = "lm_head.weight"
        weights = {name: value.half() for name, value in self.average.items() if name != tied}
        self.model.save_pretrained(part, state_dict=weights)
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
        config["dtype"] = "float16"
        (part / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        self.tokenizer.save_pretrained(part)
        content = json.loads((part / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        merges = "".join(f"{first} {second}\n" for first, second in content["merges"])
        (part / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
        vocab = json.dumps(content["vocab"], ensure_ascii=False)
        (part / "vocab.json").write_text(vocab, encoding="utf-8")
        for path in part.iterdir():
            path.chmod(0o644)
        folder.mkdir(parents=True, exist_ok=True)
        for path in part.iterdir():
            os.replace(path, folder / path.name)
        part.rmdir()


def train(run: Training, out: Path, *, resume: bool, quiet: bool = False) -> None:
    """Run to the end, checkpoints every `settings.every` steps in `out`; publish `out/model`."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / CHECKPOINT
    if resume and path.exists():
        run.restore(path)
    started, first = time.monotonic(), run.step
    with tqdm(total=run.settings.steps, initial=run.step, disable=quiet, mininterval=5) as bar:
        while run.step < run.settings.steps:
            loss = run.train_step()
            bar.update()
            if run.step % 20 == 0:
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if run.step % run.settings.every == 0 or run.step == run.settings.steps:
                run.save(path)
                if not quiet:
                    tqdm.write(f"step {run.step}: held-out accuracy {run.accuracy():.4f}")
    run.publish(out / "model")
    if not quiet:
        print(f"{run.step - first} steps in {time.monotonic() - started:.0f} s -> {out / 'model'}")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train the small caption judge.")
    parser.add_argument("--captions", type=Path, required=True, help="id<tab>caption lines")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and model go there")
    parser.add_argument("--names", type=Path, help="emoji index.json, for more nouns")
    parser.add_argument("--exclude", type=Path, help="JSONL of captions to keep out of training")
    parser.add_argument("--prompt", type=Path, default=RUBRIC)
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--resume", action="store_true", help="continue from --out's checkpoint")
    parser.add_argument("--quiet", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says, on one thread, so that every machine adds alike."""
    options = parse(arguments)
    torch.set_num_threads(1)
    excluded: list[str] = []
    if options.exclude:
        lines = options.exclude.read_text(encoding="utf-8").splitlines()
        excluded = [json.loads(line)["caption"] for line in lines]
    samples = read_captions(options.captions, excluded)
    random.Random(0).shuffle(samples)
    held_out = samples[: min(VALIDATION, len(samples) // 10)]
    words = load_words(read_names(options.names) if options.names else ())
    settings = Settings(steps=options.steps, seed=options.seed, batch=options.batch)
    mix = CaptionMix(samples[len(held_out) :], words)
    run = Training(mix, held_out, settings, read_prompt(options.prompt))
    train(run, options.out, resume=options.resume, quiet=options.quiet)


if __name__ == "__main__":
    main()
