"""One scoring forward with a shared prefix against generating the label, on a mid-size Qwen2.

Random weights: the labels mean nothing, but all ways must give the same ones. One thread, five
rounds in turn, medians. Then the shipped small model on real Chinese words, for its captions/s.

python -m tests.benchmarks.scoring
"""

import itertools
import random
import time
from collections.abc import Callable

import torch

from spatialgen.captions.classifier import CaptionClassifier
from spatialgen.params import load_params
from spatialgen.sample.world.captions import make_web_situation
from tests.benchmarks.harness import median, report
from tests.captions.models import LABELS, RUBRIC, tiny_qwen2, tiny_tokenizer

CAPTIONS, BATCH, ROUNDS = 64, 32, 3
ANSWER_TOKENS = 4  # such as "strong" and the end, which a parser would read
SMALL_CAPTIONS, SMALL_BATCH = 4096, 128
WEB_ROWS = 100_000_000
SIZES = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "initializer_range": 0.05,
}


def generated(classifier: CaptionClassifier, captions: list[str], batch: int) -> list[int]:
    """The label that generation would begin with, caption by caption."""
    tokens, labels = classifier.tokens, []
    tokenised = classifier.tokenise(captions)
    for start in range(0, len(tokenised), batch):
        part = tokenised[start : start + batch]
        wholes = [[*tokens.prefix, *ids, *tokens.suffix] for ids in part]
        padded = classifier.tokenizer.pad(
            {"input_ids": wholes}, padding_side="left", return_tensors="pt"
        )
        output = classifier.model.generate(
            **padded,
            max_new_tokens=ANSWER_TOKENS,
            min_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        labels += output.logits[0][:, tokens.labels].argmax(-1).tolist()
    return labels


def scored(classifier: CaptionClassifier, captions: list[str]) -> list[int]:
    """The likeliest label by one forward per batch."""
    labels = []
    tokenised = classifier.tokenise(captions)
    for start in range(0, len(tokenised), BATCH):
        found = classifier.probabilities(tokenised[start : start + BATCH])
        labels += found.argmax(1).tolist()
    return labels


def timed(ways: dict[str, Callable[[], list[int]]]) -> tuple[dict[str, float], bool]:
    """Median seconds of each way, and whether all give the same labels."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    answers = []
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            answers.append(way())
            spent[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in spent.items()}, all(
        answer == answers[0] for answer in answers
    )


def small_model_speed() -> float:
    """Captions/s of the shipped model in one thread, tokenising included."""
    params = load_params().filter
    rng = random.Random(1)
    captions = [make_web_situation(rng, 0.3).caption for _ in range(SMALL_CAPTIONS)]
    classifier = CaptionClassifier.from_pretrained(
        params.model,
        prompt=RUBRIC.strip("\n"),
        labels=params.labels.model_dump(),
        device="cpu",
    )
    start = time.perf_counter()
    tokenised = sorted(classifier.tokenise(captions), key=len, reverse=True)
    for first in range(0, len(tokenised), SMALL_BATCH):
        classifier.probabilities(tokenised[first : first + SMALL_BATCH])
    return SMALL_CAPTIONS / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(1)
    rng = random.Random(0)
    drawn = (make_web_situation(rng, 0.5).caption for _ in itertools.count())
    captions = list(itertools.islice((c for c in drawn if 14 <= len(c) <= 27), CAPTIONS))
    captions.sort(key=len)  # as the row engine does, for all ways alike
    classifier = CaptionClassifier(
        tiny_qwen2(**SIZES), tiny_tokenizer(), prompt=RUBRIC.strip("\n"), labels=LABELS
    )
    lengths = list(map(len, classifier.tokenise(captions)))
    found, same = timed(
        {
            "loop": lambda: generated(classifier, captions, 1),
            "generate": lambda: generated(classifier, captions, BATCH),
            "scored": lambda: scored(classifier, captions),
        }
    )
    faster, faster_than_loop = found["generate"] / found["scored"], found["loop"] / found["scored"]
    speed = small_model_speed()
    report(
        "scoring",
        {
            "parameters": sum(p.numel() for p in classifier.model.parameters()),
            "prefix_tokens": len(classifier.tokens.prefix),
            "caption_tokens": sum(lengths) / len(lengths),
            "captions_per_s": CAPTIONS / found["scored"],
            "x_batched_generate": faster,
            "x_loop": faster_than_loop,
            "small_captions_per_s_per_core": speed,
            "small_core_hours_per_100M": WEB_ROWS / speed / 3600,
        },
        {
            ">= 7x batched generate": faster >= 7,
            ">= 8x a per-caption loop": faster_than_loop >= 8,
            "same labels": same,
        },
    )


if __name__ == "__main__":
    main()
