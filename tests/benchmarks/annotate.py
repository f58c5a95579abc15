"""Pictures annotated one by one and in batches: the same answers, and how much faster.

    python -m tests.benchmarks.annotate [--pictures 128]

Held-out pictures as JPEG files, the shipped annotator on the CPU, decoding included. Prints JSON:
pictures/s at each batch size, ratios to one by one, and how many answers differ from those.
"""

import argparse
import io
import random
import time
from pathlib import Path

from PIL import Image

from spatialgen.grounding.annotator import BoxAnnotator
from spatialgen.grounding.qwen2_vl import ask
from spatialgen.sample import train_annotator
from spatialgen.sample.annotator_data import full_question, training_view
from spatialgen.sample.world.pictures import as_jpeg
from tests.benchmarks.harness import report

MODEL = Path(train_annotator.__file__).with_name("qwen2-vl-small")
BATCHES = (1, 4, 16, 32)


def main() -> None:
    """Measure each batch size on the same pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=128)
    options = parser.parse_args()
    views = [training_view("test", 7, index) for index in range(options.pictures)]
    files = [as_jpeg(view.draw()) for view in views]
    rng = random.Random(0)
    truths = [full_question(view, rng).truth for view in views]
    questions = [ask(train_annotator.PROMPT, list(truth)) for truth in truths]
    annotator = BoxAnnotator.from_pretrained(str(MODEL), device="cpu")
    answers, rates = {}, {}
    run(annotator, files[:8], questions[:8], 8)  # allocates
    for size in BATCHES:
        started = time.perf_counter()
        answers[size] = run(annotator, files, questions, size)
        rates[size] = len(files) / (time.perf_counter() - started)
    differing = {
        size: sum(a != b for a, b in zip(answers[size], answers[1], strict=True))
        for size in BATCHES[1:]
    }
    report(
        "annotate",
        {
            "pictures": len(files),
            **{f"pictures_per_s_{size}": rate for size, rate in rates.items()},
            **{f"ratio_{size}": rates[size] / rates[1] for size in BATCHES[1:]},
            **{f"differing_{size}": count for size, count in differing.items()},
        },
        {"batched: the same answers": not any(differing.values())},
    )


def run(annotator: BoxAnnotator, files: list[bytes], questions: list[str], size: int) -> list[str]:
    """All answers, in batches of `size`; by length of the question, as the stage sorts them."""
    order = sorted(range(len(files)), key=lambda number: -len(questions[number]))
    texts = [""] * len(files)
    for start in range(0, len(order), size):
        part = order[start : start + size]
        prepared = [annotator.prepare(Image.open(io.BytesIO(files[n]))) for n in part]
        written = annotator.ask(prepared, [questions[n] for n in part])
        for number, each in zip(part, written, strict=True):
            texts[number] = each.text
    return texts


if __name__ == "__main__":
    main()
