"""The loop: one step after another on accelerate, until `steps` are done."""

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from accelerate.utils.memory import should_reduce_batch_size
from tqdm import tqdm

from spatialgen.errors import InputError, RowsError
from spatialgen.project import uninterrupted
from spatialgen.training.folder import Checkpoint, TrainingFolder
from spatialgen.training.launch import is_main
from spatialgen.training.loader import Position, Rows, RowSampler, make_loader
from spatialgen.training.order import mix
from spatialgen.training.task import Batch, Task

BETAS = (0.9, 0.98)
COMPUTED = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Report = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class LoopSettings:
    """What a run is. Lengths are steps, never seconds."""

    steps: int
    batch: int  # rows of a step, over all processes
    rate: float  # highest learning rate
    warmup: float = 0.05  # share of the steps
    decay: float = 0.01  # weight decay of matrices
    clip: float = 1.0  # norm of the gradient
    every: int = 200  # steps between validations and checkpoints
    seed: int = 0
    precision: str = "fp32"  # of computing: fp32, fp16 (with a gradient scaler) or bf16

    def share_of_rate(self, step: int) -> float:
        """The learning rate of the step after so many, of the highest: a linear warm-up, then half
        a cosine down to 0 (Loshchilov and Hutter, SGDR, arXiv:1608.03983)."""
        warmup = math.ceil(self.warmup * self.steps)
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup)))


def train(
    folder: TrainingFolder,
    make_loop: Callable[[], "Loop"],
    report: Report | None = None,
    *,
    quiet: bool = False,
) -> TrainingFolder:
    """The folder with its result: what it has, else what the loop trains. `report` is given the
    figures of every step, earlier ones first."""
    if not folder.finished:
        make_loop().run(report, quiet=quiet)
    elif report and is_main():
        folder.replay(report)
    return folder


class Loop:
    """A training in progress."""

    def __init__(
        self,
        task: Task,
        rows: Rows,
        folder: TrainingFolder,
        settings: LoopSettings,
        *,
        cpu: bool = False,
        workers: int = 0,
        micro_batch: int | None = None,
        resume: TrainingFolder | None = None,
    ) -> None:
        """`micro_batch`: rows of a process that are computed at once, at most; it is halved where
        memory does not suffice, and changes nothing but speed. `resume`: another training, perhaps
        on other rows, whose last checkpoint a new one goes on from."""
        self.task, self.rows, self.folder, self.settings = task, rows, folder, settings
        self.accelerator = Accelerator(mixed_precision="no", cpu=cpu)
        # Not accelerate's own, which scales gradients on GPUs alone.
        self.scaler = torch.amp.GradScaler(
            self.accelerator.device.type, enabled=settings.precision == "fp16"
        )
        self.workers, self.resume = workers, resume
        self.micro_batch = micro_batch or settings.batch
        self.step, self.position, self.best = 0, Position(), -math.inf
        trained = {n: p for n, p in task.modules.named_parameters() if p.requires_grad}
        for parameter in trained.values():
            parameter.data = parameter.data.float()  # the scaler takes no 16-bit gradients
        self.trained = trained
        optimiser = torch.optim.AdamW(_groups(trained, settings.decay), settings.rate, BETAS)
        task.modules.to(self.accelerator.device)
        self.optimiser = optimiser
        self.identity = {**asdict(settings), "rows": len(rows), "digest": rows.digest}

    def run(self, report: Report | None = None, *, quiet: bool = False) -> None:
        """Train to the end, from the last checkpoint on, and publish the best weights as the
        folder's result; Ctrl-C saves a checkpoint. `report`: see `train`."""
        main = self.accelerator.is_main_process
        with self.folder.held() if main else nullcontext():
            self._restore()
            try:
                self._train(report if main else None, quiet=quiet or not main)
            except KeyboardInterrupt:
                self._save()
                raise
            if main:
                self._publish()

    def _train(self, report: Report | None, *, quiet: bool) -> None:
        if report:
            self.folder.replay(report)
        self.task.modules.train()
        batches = self._batches()
        bar = tqdm(
            total=self.settings.steps,
            initial=self.step,
            unit="step",
            disable=quiet,
            mininterval=0.2 if sys.stderr.isatty() else 30,
        )
        with bar:
            while self.step < self.settings.steps:
                batch = next(batches)
                with uninterrupted():
                    figures = self._step(batch)
                    if self._is_due():
                        figures |= self._validate()
                    if self.accelerator.is_main_process:
                        self.folder.note(figures)
                if report:
                    report(figures)
                bar.update()
                bar.set_postfix_str(f"loss {figures['train/loss']:.3f}", refresh=False)

    def _batches(self) -> Iterator[Batch]:
        self.sampler = RowSampler(
            self.rows,
            self.settings.batch,
            self.settings.seed,
            self.position,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )
        return iter(make_loader(self.rows, self.task.collate, self.sampler, self.workers))

    def _step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; the mean of each term of its loss over the rows of all processes."""
        together = self.sampler.together(self.position)
        while True:
            try:
                terms = self._accumulate(batch, together)
                break
            except RuntimeError as error:
                if not should_reduce_batch_size(error):
                    raise
                self._halve(error)
        self._share_gradients()
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.clip)
        rate = self.settings.rate * self.settings.share_of_rate(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        skipped = self.scaler.get_scale() < scale  # after an overflow
        self.step += 1
        self.position = self.position.after(together, len(self.rows))
        means = self.accelerator.reduce(torch.stack([*terms.values()]), "sum") / together
        named = dict(zip(terms, means.tolist(), strict=True))
        figures = {"loss": sum(named.values()), **named, "gradient": float(norm), "rate": rate}
        figures |= self.task.figures()
        if not math.isfinite(figures["loss"]) and not skipped:
            raise RowsError(
                f"the loss of step {self.step} is {figures['loss']}; lower the rate, "
                f"{self.settings.rate} now, and begin anew without {self.folder.root}"
            )
        return {"step": self.step, **{f"train/{name}": each for name, each in figures.items()}}

    def _share_gradients(self) -> None:
        """Sum the gradients over the processes, at once and after the last micro-batch, so that one
        that runs out of memory between may begin again."""
        if self.accelerator.num_processes == 1:
            return
        gradients = [each.grad for each in self.trained.values() if each.grad is not None]
        flat = self.accelerator.reduce(torch.cat([each.flatten() for each in gradients]), "sum")
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def _accumulate(self, batch: Batch, together: int) -> dict[str, torch.Tensor]:
        """Gradients of a step, a micro-batch after another; sums of each term over own rows."""
        torch.manual_seed(int(mix_seed(self.settings.seed, self.step)))
        self.optimiser.zero_grad()
        size = len(next(iter(batch.values())))
        owned = len(range(self.accelerator.process_index, together, self.accelerator.num_processes))
        scale = 1.0 / together if owned else 0.0
        sums: dict[str, torch.Tensor] = {}
        for first in range(0, size, self.micro_batch):
            part = {name: value[first : first + self.micro_batch] for name, value in batch.items()}
            part = send_to_device(part, self.accelerator.device, non_blocking=True)
            with self._autocast():
                terms = self.task.losses(part)
            loss = torch.stack([term.float().sum() for term in terms.values()]).sum()
            self.scaler.scale(loss * scale).backward()  # type: ignore[no-untyped-call]
            for name, term in terms.items():
                found = term.detach().float().sum() * (1.0 if owned else 0.0)
                sums[name] = sums[name] + found if name in sums else found
        return sums

    def _autocast(self) -> torch.autocast:
        kind = COMPUTED[self.settings.precision]
        return torch.autocast(self.accelerator.device.type, kind, enabled=kind is not torch.float32)

    def _halve(self, error: RuntimeError) -> None:
        if self.micro_batch == 1:
            raise RowsError(
                f"one row does not fit into memory ({str(error).splitlines()[0]}); lower the size "
                "of what is trained, or take a larger device"
            ) from None
        self.micro_batch //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        rank = self.accelerator.process_index
        tqdm.write(f"process {rank} is out of memory: {self.micro_batch} rows at once from now on",
                   file=sys.stderr)  # fmt: skip

    def _is_due(self) -> bool:
        return self.step % self.settings.every == 0 or self.step == self.settings.steps

    def _validate(self) -> dict[str, float]:
        """Figures of the weights as they are; the best ones and a checkpoint are kept."""
        self.accelerator.wait_for_everyone()
        self.task.modules.eval()
        self.task.step = self.step
        with torch.inference_mode(), self._autocast():
            figures = dict(self.task.validate()) if self.accelerator.is_main_process else {}
        self.task.modules.train()
        if figures and not math.isfinite(figures["score"]):
            raise RowsError(f"the validation after step {self.step} gave no score; lower the rate")
        if figures and figures["score"] > self.best:
            self.best = figures["score"]
            self.folder.save_best(self._weights())
        self._save()
        return {f"val/{name}": value for name, value in figures.items()}

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().cpu().contiguous() for name, value in self.trained.items()}

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        optimiser = {
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        state = {
            "step": self.step,
            **asdict(self.position),
            "micro_batch": self.micro_batch,
            "best": self.best,
            "identity": self.identity,
        }
        self.folder.save(self._weights(), optimiser, state)

    def _restore(self) -> None:
        checkpoint = self.folder.latest(self.identity)
        if self.accelerator.is_main_process:
            self.folder.cut(checkpoint.state["step"] if checkpoint else 0)
        self.accelerator.wait_for_everyone()
        if checkpoint:
            self.position = Position(checkpoint.state["epoch"], checkpoint.state["seen"])
            self.best = checkpoint.state["best"]
            self._take_over(checkpoint)
        elif self.resume:
            self._resume(self.resume)

    def _resume(self, other: TrainingFolder) -> None:
        """Go on from the last checkpoint of another training, by this one's rates."""
        checkpoint = other.latest()
        if checkpoint is None:
            raise InputError(f"{other.root} holds no checkpoint; name another training")
        state, steps = checkpoint.state, self.settings.steps
        if state["step"] >= steps:
            raise InputError(
                f"{checkpoint.path} has done {state['step']} of {steps} steps; ask for more"
            )
        self.position = Position(state["epoch"] + 1)
        self._take_over(checkpoint)
        if self.accelerator.is_main_process:
            tqdm.write(
                f"on from step {state['step']} of {checkpoint.path}, which saw the rows "
                f"{state['identity']['digest']}; here are {self.identity['digest']}",
                file=sys.stderr,
            )

    def _take_over(self, checkpoint: Checkpoint) -> None:
        self.step = checkpoint.state["step"]
        self.micro_batch = min(self.micro_batch, checkpoint.state["micro_batch"])
        self.load(checkpoint.weights)
        own = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({**checkpoint.optimiser["optimiser"], "param_groups": own})
        if self.scaler.is_enabled() and checkpoint.optimiser["scaler"]:
            self.scaler.load_state_dict(checkpoint.optimiser["scaler"])

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put these trained tensors in place; InputError where they are of another model."""
        shapes = [{n: tuple(t.shape) for n, t in some.items()} for some in (weights, self.trained)]
        if shapes[0] != shapes[1]:
            odd = sorted(dict(shapes[0].items() ^ shapes[1].items()))[0]
            raise InputError(f"{odd} is not alike in both models; go on with the same base")
        with torch.no_grad():
            for name, value in weights.items():
                self.trained[name].copy_(value)

    def _publish(self) -> None:
        self.load(self.folder.best())
        self.task.modules.eval()
        part = self.folder.root / "result.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        self.task.publish(part)
        os.replace(part, self.folder.result)


def mix_seed(seed: int, step: int) -> int:
    """The seed of what is left to chance in a step, as dropout inside the modules is."""
    (mixed,) = mix(np.array([step]), seed)
    return int(mixed) >> 1


def _groups(trained: Mapping[str, torch.nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors do not."""
    return [
        {"params": [p for p in trained.values() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained.values() if p.ndim <= 1], "weight_decay": 0.0},
    ]
