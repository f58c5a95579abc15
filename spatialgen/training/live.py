"""A training's curve for DVC while it runs: metrics.json and plots/metrics/<train, val>/*.tsv."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType

from dvclive import Live

POINTS = 100  # of a training figure's curve


class LiveCurve:
    """Logs the figures of steps with dvclive; those of training as means over stretches."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder = folder
        self.steps, self.stretch = steps, max(1, steps // POINTS)
        self.collected: dict[str, list[float]] = defaultdict(list)

    @cached_property
    def live(self) -> Live:
        """The log; of several processes only that opens it which is given figures."""
        return Live(str(self.folder), save_dvc_exp=False, dvcyaml=None, report=None)

    def __call__(self, figures: Mapping[str, float]) -> None:
        """Take the figures of a step."""
        step = int(figures["step"])
        points = {name: value for name, value in figures.items() if name.startswith("val/")}
        for name in figures.keys() - points.keys() - {"step"}:
            self.collected[name].append(figures[name])
        if step % self.stretch == 0 or step == self.steps:
            points |= {name: sum(some) / len(some) for name, some in self.collected.items()}
            self.collected.clear()
        self.live.step = step
        for name, value in sorted(points.items()):
            self.live.log_metric(name, value)
        if points:
            self.live.make_summary()

    def __enter__(self) -> "LiveCurve":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if "live" in vars(self):
            self.live.end()
