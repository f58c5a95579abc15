"""Train all small models, in the order in which they need one another, in slices of any length.

    python -m spatialgen.sample.train_models --out DIR --captions coco-cn_ext.icap2020.txt \\
        --names emoji/index.json --exclude gold_filter_dev.jsonl --seconds 570

Each call goes on where the last one stopped, until `DIR/<name>/model` is there for every name; copy
these folders over `spatialgen/sample/<folder>`. On a CPU `--threads 1` repeats itself exactly; a
GPU is used where there is one.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from spatialgen.project import guard
from spatialgen.sample import (
    train_annotator,
    train_autoencoder,
    train_generator,
    train_judge,
    train_text,
)
from spatialgen.sample.training import VALIDATION, Training, add_arguments, prepare, train

# By the folder under spatialgen/sample that the model is shipped in.
STARTS: dict[str, Callable[[argparse.Namespace, str], Training]] = {
    "qwen2-small": lambda options, _: train_text.start(options),
    "qwen2-vl-small": lambda _, device: train_annotator.AnnotatorTraining(
        train_annotator.DEFAULTS, device
    ),
    "judge-small": lambda _, device: train_judge.JudgeTraining(train_judge.DEFAULTS, device),
    "kolors-small/vae": lambda _, device: train_autoencoder.AutoencoderTraining(
        train_autoencoder.DEFAULTS, device
    ),
    "kolors-small": lambda options, device: train_generator.start(
        train_generator.DEFAULTS, device, VALIDATION, options.out / "kolors-small"
    ),
}


def main() -> None:
    """Train for `--seconds`, say what is done and what is left."""
    parser = argparse.ArgumentParser(description="Train all small models.")
    add_arguments(parser)
    train_text.add_text_arguments(parser)
    parser.add_argument("--only", choices=STARTS, nargs="+", default=list(STARTS))
    options = parser.parse_args()
    device = prepare(options)
    end = time.monotonic() + options.seconds
    for name in (each for each in STARTS if each in options.only):
        folder = Path(options.out) / name
        if (folder / "model").exists():
            print(f"{name}: done")
            continue
        left = end - time.monotonic()
        if left <= 0:
            print(f"{name}: waits")
            continue
        run = STARTS[name](options, device)
        done = train(run, folder, resume=True, seconds=left, quiet=options.quiet)
        print(f"{name}: {'done' if done else f'step {run.step} of {run.settings.steps}'}")


if __name__ == "__main__":
    guard(main)
