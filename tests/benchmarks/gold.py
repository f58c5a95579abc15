"""The shipped judge, and the rules that labelled its training data, on hand-labelled real captions.

The even lines of gold_filter_dev.jsonl were looked at while the rules were written; the odd lines
were not, so the bars are judged on these alone.

python -m tests.benchmarks.gold
"""

import json
from pathlib import Path
from typing import Any

from spatialgen.captions.classifier import CaptionClassifier
from spatialgen.captions.gold import agreement, confusion_matrix
from spatialgen.captions.prompt import read_prompt
from spatialgen.params import load_params
from spatialgen.sample.mix.spatial_rules import label_caption
from spatialgen.sample.shards import POSITION
from tests.benchmarks.harness import report
from tests.conftest import DATA


def judged(captions: list[str]) -> list[str | None]:
    """What stage filter publishes for these captions with the shipped params."""
    params = load_params().filter
    classifier = CaptionClassifier.from_pretrained(
        params.model,
        prompt=read_prompt(Path(params.prompt)),
        labels=params.labels.model_dump(),
        device="cpu",
    )
    found = classifier.probabilities(classifier.tokenise(captions))
    return [
        "none" if strong + weak < params.min_probability else "strong" if strong >= weak else "weak"
        for strong, weak, _ in found.astype(float)
    ]


def keyword(caption: str) -> str:
    """The simplest rule: a position character makes a caption strong."""
    return "strong" if POSITION.search(caption) else "none"


def figures(truth: list[str], predicted: list[str | None]) -> dict[str, Any]:
    """The figures with bars, each [value, lo, hi]."""
    found = agreement(confusion_matrix(truth, predicted))
    return {
        name: [round(found[name][part] or 0, 3) for part in ("value", "lo", "hi")]
        for name in ("macro_f1", "spatial_precision", "spatial_recall")
    }


def main() -> None:
    lines = (DATA / "gold_filter_dev.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    shown: dict[str, Any] = {}
    for name, part in (("working", rows[::2]), ("held_out", rows[1::2])):
        captions = [row["caption"] for row in part]
        truth = [row["spatial_type"] for row in part]
        shown[name] = {
            "n": len(part),
            "judge": figures(truth, judged(captions)),
            "rules": figures(truth, [label_caption(caption) for caption in captions]),
            "keyword": figures(truth, [keyword(caption) for caption in captions]),
        }
    judge = shown["held_out"]["judge"]
    report(
        "gold",
        shown,
        {
            "macro-F1 >= 0.85": judge["macro_f1"][0] >= 0.85,
            "spatial precision >= 0.93": judge["spatial_precision"][0] >= 0.93,
            "spatial recall >= 0.93": judge["spatial_recall"][0] >= 0.93,
        },
    )


if __name__ == "__main__":
    main()
