"""What a row stage would cost: rows to do, counted, and their speed, measured on some of them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import lance
import pyarrow as pa

from spatialgen.lake.lake import Lake
from spatialgen.rows.batcher import Batcher
from spatialgen.rows.engine import (
    SCAN_ROWS,
    TARGET_ROUND_ROWS,
    count_unanswered,
    pending_rows,
    rounds,
)
from spatialgen.rows.stage import RowStage


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
    source: lance.LanceDataset | pa.Table,
    device: str,
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
    clock = time.perf_counter()
    batcher = Batcher(stage, device)
    batcher(sample.slice(0, 1))  # the first call also allocates and compiles
    loaded = time.perf_counter()
    answers = batcher(sample)
    rate = sample.num_rows / (time.perf_counter() - loaded)
    if rows_needed and (last := _end_of_rounds(source, rows, rows_needed(answers))) is not None:
        _, _, questions = count_unanswered(lake, stage, source, last_row_id=last)
    return Estimate(rows, rows - unanswered, questions, rate, loaded - clock)


def _end_of_rounds(source: lance.LanceDataset | pa.Table, rows: int, needed: float) -> int | None:
    """The row_id that ends the round in which the `needed`-th row is; None: all rows."""
    end = math.ceil(needed / TARGET_ROUND_ROWS) * TARGET_ROUND_ROWS if needed < rows else rows
    return None if end >= rows else int(source.take([end - 1])["row_id"][0].as_py())


def _first_pending(
    lake: Lake, stage: RowStage, source: lance.LanceDataset | pa.Table, wanted: int
) -> pa.RecordBatch | None:
    for rows in rounds(stage, source, SCAN_ROWS):
        if batches := pending_rows(lake, stage, rows).to_batches(max_chunksize=wanted):
            return batches[0]
    return None
