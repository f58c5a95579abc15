"""What a row stage brings to the engine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BatchFunction = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Answers a batch of rows (row_id, key, the stage's key columns), one result row per row, in order.

A result has the columns of the stage's schema. It may add `status` (ok, permanent, transient) and
`error` (why there is no answer; null when ok). Whatever it raises is blamed on a row, and the
engine finds out which. It may have an attribute `device`, which the progress names; a method
`expect(rows)`, called with rows in the order in which their batches will come, to prepare them; and
an attribute `waited_s`, the seconds that it has waited for what it prepares.
"""

NO_PARTS = pa.schema([])


@dataclass(frozen=True)
class RowStage:
    """A row stage: how each of its rows is answered, and what the answer depends on.

    `open(device)` loads what it takes to answer, once per device and only if there is a row to do;
    it must pickle, so that runners may call it in other processes.
    """

    name: str  # the stage's, and of its memo in the store
    fp: str  # fingerprint of everything that can change an answer
    key: tuple[str, ...]  # text columns that make up the question; equal questions are asked once
    schema: pa.Schema  # of the answers, as the memo keeps them
    open: Callable[[str], Any]  # a BatchFunction, or what another runner than Inline asks for
    parts: pa.Schema = NO_PARTS  # more columns of the answers, which the engine's attachments keep
    carried: tuple[str, ...] = ()  # more columns of the source that batches have
    attempt: int = 1  # raised by the user: asks again what failed transiently before
    stale: str = "false"  # SQL over the memo's columns: answers that these params ask again
    batch_rows: int = 128  # at most; less where the device's memory asks for it
    window_rows: int = 512  # answered and committed as a whole; batches end with it
    # Memory that each row takes, in any unit; rows of similar size share a batch.
    sizes: Callable[[pa.RecordBatch], NDArray[np.int64]] | None = None
