"""Where windows are computed. `Inline` is this process; other runners yield the same results."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from spatialgen.rows.batcher import Batcher
from spatialgen.rows.stage import RowStage


@dataclass(frozen=True)
class Result:
    """A computed window: its rows, their answers, and who computed them in what time."""

    window: pa.RecordBatch
    answers: pa.Table
    device: str
    seconds: float


class Runner(Protocol):
    """Computes windows; it pulls the next one when it has room, and may finish them in any order.

    The engine commits what it yields; a runner writes nothing.
    """

    def run(self, stage: RowStage, windows: Iterator[pa.RecordBatch]) -> Iterator[Result]:
        """Yield one result per window; every row of it has an answer or an error."""
        ...


@dataclass(frozen=True)
class Inline:
    """One device, in this process; windows in order."""

    device: str = "auto"

    def run(self, stage: RowStage, windows: Iterator[pa.RecordBatch]) -> Iterator[Result]:
        """Load on the first window, then compute one after the other."""
        batcher: Batcher | None = None
        for window in windows:
            if batcher is None:
                batcher = Batcher(stage, self.device)
            started = time.perf_counter()
            answers = batcher(window)
            yield Result(window, answers, batcher.device, time.perf_counter() - started)
