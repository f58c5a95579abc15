""".lake/train/<fp>: a training's checkpoints, curve and result. DVC never touches it, so a run that
was killed goes on, and one that is finished is published again without training.

    checkpoint-<step>/   weights.safetensors, optimiser.pt, state.json
    best.safetensors     the weights with the best score so far
    curve.jsonl          one line per step
    result/              what is published; there as a whole or not at all
    lock                 held by the run that trains here
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from spatialgen.errors import LakeError

STATE = "state.json"
KEPT = 2  # checkpoints; the one before the last survives a damaged disk


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint: its state, the trained tensors, and the optimiser's and scaler's states."""

    path: Path
    state: dict[str, Any]
    weights: dict[str, torch.Tensor]
    optimiser: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """What is in the folder; any error where it is damaged."""
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        optimiser = torch.load(path / "optimiser.pt", map_location="cpu", weights_only=True)
        return cls(path, state, load_file(path / "weights.safetensors"), optimiser)


class TrainingFolder:
    """The folder of one training."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.curve = root / "curve.jsonl"
        self.result = root / "result"

    @property
    def finished(self) -> bool:
        """Whether the result is there."""
        return self.result.is_dir()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only run that trains here; LakeError where there is one already."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LakeError(
                    f"another run trains {self.root} now; let it end, then repeat this one, which "
                    "takes over its result"
                ) from None
            yield

    def latest(self, identity: Mapping[str, Any] | None = None) -> Checkpoint | None:
        """The last checkpoint that is whole; LakeError where it is not of this `identity`, which is
        data and settings."""
        for path in reversed(self._checkpoints()):
            try:
                found = Checkpoint.read(path)
            except Exception as error:  # each format has errors of its own
                tqdm.write(f"{path} is damaged ({error}); the one before is taken", sys.stderr)
                continue
            known = found.state["identity"]
            if identity is not None and known != identity:
                odd = sorted(k for k in identity if known.get(k) != identity[k])
                raise LakeError(
                    f"{path} is of other {', '.join(odd)} than this training; remove {self.root} "
                    "to begin anew, or name it as the one to resume from, knowingly"
                )
            return found
        return None

    def _checkpoints(self) -> list[Path]:
        numbered = (path for path in self.root.glob("checkpoint-*") if _number(path) is not None)
        return sorted(numbered, key=lambda path: _number(path) or 0)

    def save(
        self,
        weights: Mapping[str, torch.Tensor],
        optimiser: Mapping[str, Any],
        state: Mapping[str, Any],
    ) -> None:
        """Write a checkpoint of `state["step"]`, and drop all but the last KEPT."""
        path = self.root / f"checkpoint-{state['step']}"
        part = self.root / "checkpoint.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        save_file(dict(weights), part / "weights.safetensors")
        torch.save(optimiser, part / "optimiser.pt")
        (part / STATE).write_text(json.dumps(state, indent=2), encoding="utf-8")
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
        for old in self._checkpoints()[:-KEPT]:
            shutil.rmtree(old)

    def save_best(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Keep these weights as the best."""
        part = self.root / "best.part"
        save_file(dict(weights), part)
        os.replace(part, self.root / "best.safetensors")

    def best(self) -> dict[str, torch.Tensor]:
        """The best weights; LakeError where they cannot be read."""
        path = self.root / "best.safetensors"
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise LakeError(
                f"{path} is damaged ({error}); remove {self.root} to train anew"
            ) from None

    def note(self, figures: Mapping[str, float]) -> None:
        """Add a line to the curve."""
        with self.curve.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def noted(self) -> Iterator[dict[str, float]]:
        """The curve's lines."""
        if self.curve.exists():
            for line in self.curve.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)

    def replay(self, report: Callable[[Mapping[str, float]], None]) -> None:
        """Give the curve's lines to `report`."""
        for figures in self.noted():
            report(figures)

    def cut(self, step: int) -> None:
        """Drop the curve's lines after `step`: a kill leaves steps that no checkpoint knows."""
        if self.curve.exists():
            *lines, _ = self.curve.read_text(encoding="utf-8").split("\n")  # the last may be torn
            kept = [line + "\n" for line in lines if json.loads(line)["step"] <= step]
            _write(self.curve, "".join(kept))


def _number(path: Path) -> int | None:
    number = path.name.partition("-")[2]
    return int(number) if number.isdecimal() else None


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
