"""What a row stage would cost: rows to do, counted, and their speed, measured on some of them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spatialgen.lake.lake import Lake
from spatialgen.rows.engine import (
    SCAN_ROWS,
    TARGET_ROUND_ROWS,
    count_unanswered,
    pending_rows,
    rounds,
)
from spatialgen.rows.runner import Runner
from spatialgen.rows.source import Source
from spatialgen.rows.stage import RowStage

STEADY_SHARE = 0.9  # of the sample: the last rows wait for the slowest, and a long run seldom does


@dataclass(frozen=True)
class Estimate:
    """A forecast of one run on one device."""

    rows: int  # asked
    reused: int  # of these, answered before
    to_do: int  # distinct questions without an answer; with a target, as many as it should take
    rows_per_s: float | None  # None: nothing to measure
    load_s: float  # until the first row is answered

    @property
    def seconds(self) -> float:
        """Wall time of the run, loading included."""
        return self.load_s + self.to_do / self.rows_per_s if self.rows_per_s else 0.0

    def cost(self, hour_price: float) -> float:
        """Price of the run, in the currency of `hour_price`."""
        return self.seconds / 3600 * hour_price


def estimate_rows(
    lake: Lake,
    stage: RowStage,
    source: Source,
    runner: Runner,
    *,
    sample_rows: int = 1024,
    rows_needed: Callable[[pa.Table], float] | None = None,
) -> Estimate:
    """Count what is unanswered, and answer up to `sample_rows` of it to see how fast that goes.

    Row ids are hashes, so the first unanswered rows are a random draw. Their answers are thrown
    away. With a target, `rows_needed(answers)` says how many rows the run goes through.
    """
    rows, unanswered, questions = count_unanswered(lake, stage, source)
    sample = _first_pending(lake, stage, source, sample_rows) if questions else None
    if sample is None:
        return Estimate(rows, rows - unanswered, 0, None, 0.0)
    load_s, rate, answers = _measure(stage, runner, sample)
    if rows_needed and (last := _end_of_rounds(source, rows, rows_needed(answers))) is not None:
        _, _, questions = count_unanswered(lake, stage, source, last_row_id=last)
    return Estimate(rows, rows - unanswered, questions, rate, load_s)


def _measure(
    stage: RowStage, runner: Runner, sample: pa.RecordBatch
) -> tuple[float, float, pa.Table]:
    """Seconds until the first answer, rows/s after it, and the answers."""
    windows = [sample.slice(0, 1)]  # the first row also loads, allocates and compiles
    if sample.num_rows > 1:
        windows.append(sample.slice(1))
    clock = time.perf_counter()
    answers, seconds, done = [], [], []
    for result in runner.run(stage, iter(windows)):
        answers.append(result.answers)
        seconds.append(time.perf_counter() - clock)
        done.append(sum(map(len, answers)))
    steady = next(i for i, rows in enumerate(done) if rows >= STEADY_SHARE * done[-1])
    if steady == 0:
        return 0.0, done[0] / seconds[0], pa.concat_tables(answers)
    rate = (done[steady] - done[0]) / (seconds[steady] - seconds[0])
    return seconds[0], rate, pa.concat_tables(answers)


def _end_of_rounds(source: Any, rows: int, needed: float) -> int | None:
    """The row_id that ends the round in which the `needed`-th row is; None: all rows."""
    end = math.ceil(needed / TARGET_ROUND_ROWS) * TARGET_ROUND_ROWS if needed < rows else rows
    return None if end >= rows else int(source.take([end - 1])["row_id"][0].as_py())


def _first_pending(
    lake: Lake, stage: RowStage, source: Source, wanted: int
) -> pa.RecordBatch | None:
    for rows in rounds(stage, source, SCAN_ROWS):
        if batches := pending_rows(lake, stage, rows).to_batches(max_chunksize=wanted):
            return batches[0]
    return None
