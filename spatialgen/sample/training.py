"""The loop that trains every small model: seeded, checkpointed, able to stop and go on anywhere.

A subclass of `Training` gives the modules, the loss of a step and what is published. Data are a
function of seed and step, so a run that was killed or stopped goes on with `--resume` and ends with
the weights of one that never stopped.
"""

import argparse
import json
import math
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from spatialgen.errors import InputError

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"
LOWEST_RATE = 0.02  # of the learning rate, where the cosine ends
CHOSEN = ("steps", "seed", "batch", "every")  # settings with an option
VALIDATION = 64
NOTED = 20  # steps that a line of the curve is the mean of


@dataclass(frozen=True)
class Settings:
    """What a run is; a checkpoint continues only a run of equal settings."""

    steps: int
    seed: int = 0
    batch: int = 32
    rate: float = 1e-3
    decay: float = 0.05
    warmup: float = 0.05  # share of the steps
    average: float = 0.998  # EMA per step; the averaged weights are the ones published
    every: int = 200  # steps between checkpoints

    def __post_init__(self) -> None:
        """InputError for what is no run."""
        for name in ("steps", "batch", "every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give at least 1")


class Training(ABC):
    """One run: modules, averaged weights, optimiser and the step reached."""

    phases: tuple[float, ...] = ()  # shares of the steps after which the rate begins anew

    def __init__(self, modules: torch.nn.Module, settings: Settings, data: str = "") -> None:
        """`data` tells what is learned from, where that is more than the seed."""
        self.modules, self.settings, self.step = modules, settings, 0
        self.identity = {**asdict(settings), "data": data}
        self.average = {name: value.clone() for name, value in modules.state_dict().items()}
        parameters = list(modules.parameters())
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=settings.rate,
            betas=(0.9, 0.98),
        )

    @abstractmethod
    def losses(self, step: int) -> dict[str, torch.Tensor]:
        """The terms of the loss of `step`, a function of seed, step and weights."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Figures on held-out data, of the weights in place."""

    @abstractmethod
    def publish(self, folder: Path) -> None:
        """Write the averaged weights as a model's folder."""

    def rate(self) -> float:
        """The learning rate of the present step: in each phase a linear warmup, then a cosine."""
        begin, end = self.phase()
        warm = max(1, int((end - begin) * self.settings.warmup))
        left = min(1.0, max(0.0, (self.step - begin - warm) / max(1, end - begin - warm)))
        cosine = 0.5 * (1 + math.cos(math.pi * left))
        here = min(1.0, (self.step - begin + 1) / warm)
        return self.settings.rate * here * (LOWEST_RATE + (1 - LOWEST_RATE) * cosine)

    def phase(self) -> tuple[int, int]:
        """First step of the present phase, and of the one after it."""
        starts = [int(share * self.settings.steps) for share in (0.0, *self.phases, 1.0)]
        return next(
            (begin, end) for begin, end in pairwise(starts) if self.step < end or end == starts[-1]
        )

    def train_step(self) -> dict[str, float]:
        """One optimiser step; returns the terms of its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        terms = self.losses(self.step)
        self.optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        passed = self.step - self.phase()[0]
        keep = min(self.settings.average, passed / (passed + 10))  # forgets the start sooner
        with torch.no_grad():
            for name, value in self.modules.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1 - keep)
                else:
                    self.average[name].copy_(value)
        return {name: float(value.detach()) for name, value in terms.items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in place, in evaluation mode."""
        current = {name: value.clone() for name, value in self.modules.state_dict().items()}
        self.modules.load_state_dict(self.average)
        self.modules.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.modules.train()
            self.modules.load_state_dict(current)

    def averaged_part(self, name: str) -> dict[str, torch.Tensor]:
        """The averaged weights of one of the modules."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): value
            for key, value in self.average.items()
            if key.startswith(prefix)
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint that replaces the last one at once, or not at all."""
        state = {
            "identity": self.identity,
            "step": self.step,
            "modules": self.modules.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of a run of equal settings and data, made on any device;
        InputError for another's."""
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        if state["identity"] != self.identity:
            raise InputError(
                f"{path} is of a run with {state['identity']}, not {self.identity}; repeat its "
                "arguments and data, or begin anew in another folder"
            )
        self.step = int(state["step"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        self.modules.load_state_dict(state["modules"])
        self.optimiser.load_state_dict(state["optimiser"])


def train(
    run: Training,
    out: Path,
    *,
    resume: bool,
    seconds: float = math.inf,
    quiet: bool = False,
) -> bool:
    """Train for so many seconds at most; True once it is done and `out/model` is published.

    Checkpoints go to `out` every `settings.every` steps and at the end of the time, with a line of
    figures in `out/curve.jsonl`.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, curve = out / CHECKPOINT, out / CURVE
    if path.exists():
        if not resume:
            raise InputError(f"{out} holds a run already; add --resume, or give another folder")
        run.restore(path)
    _cut(curve, run.step)
    end = time.monotonic() + seconds
    recent: list[dict[str, float]] = []
    with tqdm(total=run.settings.steps, initial=run.step, disable=quiet, mininterval=5) as bar:
        while run.step < run.settings.steps and time.monotonic() < end:
            terms = run.train_step()
            same = bool(recent) and recent[-1].keys() == terms.keys()
            recent = [*recent[1 - NOTED :], terms] if same else [terms]
            bar.update()
            if run.step % NOTED == 0:
                bar.set_postfix_str(_said(terms), refresh=False)
            if run.step % run.settings.every == 0 or run.step == run.settings.steps:
                with run.averaged():
                    figures = run.evaluate()
                means = {name: sum(row[name] for row in recent) / len(recent) for name in terms}
                with curve.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": run.step, **means, **figures}) + "\n")
                run.save(path)
                if not quiet:
                    tqdm.write(f"step {run.step}: {_said(means)} {_said(figures)}")
    run.save(path)
    if run.step < run.settings.steps:
        return False
    part, model = out / "model.part", out / "model"
    shutil.rmtree(part, ignore_errors=True)
    run.publish(part)
    shutil.rmtree(model, ignore_errors=True)
    os.replace(part, model)  # there as a whole, or not at all
    return True


def _cut(curve: Path, step: int) -> None:
    """Drop the lines of steps that a checkpoint does not know."""
    if curve.exists():
        *lines, _ = curve.read_text(encoding="utf-8").split("\n")  # the last may be torn
        kept = [line + "\n" for line in lines if json.loads(line)["step"] <= step]
        part = curve.with_suffix(".part")
        part.write_text("".join(kept), encoding="utf-8")
        os.replace(part, curve)


def seed_of(seed: int, number: int) -> int:
    """The seed of a training's step, or of a picture: another one for each of a run."""
    return seed * 1_000_003 + number


def _said(figures: Mapping[str, float]) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in figures.items())


Start = Callable[[Settings, str, int, Path], Training]
"""Begins a training with these settings, on this device, with so many validation pictures, in this
folder."""


def train_pictures(description: str, defaults: Settings, start: Start) -> None:
    """The command line of a training on pictures: `start`, then `train`."""
    parser = argparse.ArgumentParser(description=description)
    add_arguments(parser)
    add_settings(parser, defaults)
    parser.add_argument("--validation", type=int, default=VALIDATION, help="held-out pictures")
    options = parser.parse_args()
    device = prepare(options)
    run = start(settings_of(options, defaults), device, options.validation, options.out)
    train(run, options.out, resume=options.resume, seconds=options.seconds, quiet=options.quiet)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where and how long: what changes no result."""
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and model go there")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU; 1 repeats itself exactly")


def add_settings(parser: argparse.ArgumentParser, defaults: Settings) -> None:
    """What a run is, and whether it goes on."""
    parser.add_argument("--resume", action="store_true", help="continue from --out's checkpoint")
    for name in CHOSEN:
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))


def settings_of(options: argparse.Namespace, defaults: Settings) -> Settings:
    """The settings that the command line asks for."""
    return replace(defaults, **{name: getattr(options, name) for name in CHOSEN})


def prepare(options: argparse.Namespace) -> str:
    """Set the threads; the device to train on."""
    torch.set_num_threads(options.threads)
    return "cuda" if torch.cuda.is_available() else "cpu"
