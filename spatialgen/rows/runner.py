"""Where windows are computed. `Inline` is this process; other runners yield the same answers."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from spatialgen.rows.batcher import Batcher
from spatialgen.rows.stage import RowStage


@dataclass(frozen=True)
class Result:
    """Computed rows (key, row_id), their answers, and who computed them in what time."""

    window: pa.RecordBatch
    answers: pa.Table
    device: str
    seconds: float
    waited_s: float = 0.0  # of this time, for what is prepared beside it
    figures: Mapping[str, str] = field(default_factory=dict)  # for the progress, besides rows


class Runner(Protocol):
    """Computes windows; it pulls the next one when it has room, and may finish their rows in any
    order. The engine commits what it yields; a runner writes nothing.
    """

    def run(self, stage: RowStage, windows: Iterator[pa.RecordBatch]) -> Iterator[Result]:
        """Yield every row once, in results of any size; each has an answer or an error."""
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
            started, waited = time.perf_counter(), batcher.waited_s
            answers = batcher(window)
            seconds = time.perf_counter() - started
            yield Result(window, answers, batcher.device, seconds, batcher.waited_s - waited)
