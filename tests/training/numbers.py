"""A training that fits a line through numbers, small but with chance in its rows and its modules.

    python -m tests.training.numbers FOLDER STEPS [--workers N] [--slow SECONDS] [--processes N]

Each process adds the row_ids of its batches to FOLDER/seen-<process id>.jsonl, step by step.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from spatialgen.project import guard
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.launch import launch
from spatialgen.training.loop import Loop, LoopSettings
from spatialgen.training.order import mix, row_generator
from spatialgen.training.task import Batch, Task

ROWS, BATCH, EVERY = 52, 8, 5  # an epoch ends in the middle of a batch, and not at a checkpoint


class Numbers:
    """Rows that are their identity."""

    def __init__(self, rows: int = ROWS) -> None:
        self.row_ids: NDArray[np.int64] = np.sort(mix(np.arange(rows), 7).view(np.int64))

    @cached_property
    def digest(self) -> str:
        return f"{len(self):x}"

    def __len__(self) -> int:
        return len(self.row_ids)

    def read(self, places: Sequence[int]) -> list[dict[str, Any]]:
        return [{"row_id": int(self.row_ids[place])} for place in places]


def collate(rows: list[dict[str, Any]], epochs: list[int]) -> Batch:
    ids = [row["row_id"] for row in rows]
    noise = [
        row_generator(row_id, 0, epoch).normal(size=3)
        for row_id, epoch in zip(ids, epochs, strict=True)
    ]
    size = np.array(ids) / 2**63
    x = np.concatenate([size[:, None], np.stack(noise)], 1)
    return {"row_id": torch.tensor(ids), "x": torch.tensor(x, dtype=torch.float32),
            "y": torch.tensor(size, dtype=torch.float32)}  # fmt: skip


class Line(Task):
    """Learns to say how large a row_id is, through noise."""

    def __init__(
        self,
        seen: Path | None = None,
        *,
        fits: int | None = None,
        slow: float = 0,
        width: int = 16,
        dropout: float = 0.1,
    ) -> None:
        torch.manual_seed(0)
        self.modules = torch.nn.Sequential(
            torch.nn.Linear(4, width), torch.nn.Dropout(dropout), torch.nn.Linear(width, 1)
        )
        self.collate = collate
        self.seen, self.fits, self.slow = seen, fits, slow

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        if self.fits is not None and len(batch["x"]) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")
        if self.seen:
            with self.seen.open("a") as file:
                file.write(json.dumps(batch["row_id"].tolist()) + "\n")
        time.sleep(self.slow)
        said = self.modules(batch["x"])[:, 0]
        return {"square": (said - batch["y"]) ** 2, "size": 0.01 * said**2}

    def validate(self) -> Mapping[str, float]:
        return {"score": -float(self.modules(torch.eye(4)).square().mean())}

    def publish(self, folder: Path) -> None:
        save_file(self.modules.state_dict(), folder / "line.safetensors")


def make_loop(folder: Path, steps: int, task: Line | None = None, **options: Any) -> Loop:
    """A loop over Numbers; `rows` and `settings` may be given, the rest goes to Loop."""
    rows = Numbers(options.pop("rows", ROWS))
    settings = {"batch": BATCH, "rate": 0.01, "every": EVERY, **options.pop("settings", {})}
    training = TrainingFolder(folder)
    return Loop(task or Line(), rows, training, LoopSettings(steps=steps, **settings), cpu=True,
                **options)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--slow", type=float, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.1)
    options = parser.parse_args()
    if launch(options.processes):
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    seen = options.folder / f"seen-{os.getpid()}.jsonl"
    task = Line(seen, slow=options.slow, dropout=options.dropout)
    make_loop(options.folder, options.steps, task, workers=options.workers).run()


if __name__ == "__main__":
    guard(main)
