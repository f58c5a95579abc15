"""A window of rows in batches that fit the device, and what becomes of rows that fail."""

import gc
import logging
import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spatialgen.errors import RowsError
from spatialgen.rows.stage import BatchFunction, RowStage

logger = logging.getLogger(__name__)

OK, PERMANENT, TRANSIENT = "ok", "permanent", "transient"
SUSPICIOUS_ROWS = 16  # so many failures in a row may have another cause than the rows
RETRY_BATCHES = 64  # that fit before a larger one is tried: a passing shortage passes
ERROR_CHARACTERS = 300
OUTCOME = (pa.field("status", pa.string()), pa.field("error", pa.string()))


class Batcher:
    """Answers windows with a stage's batch function.

    Rows of similar size share a batch. A batch that runs out of memory is halved, and the size that
    fitted is remembered for its shape (the power of two above its largest row) until enough batches
    of it have succeeded to try more. A row that fails alone gets an error for an answer; the rows
    around it keep theirs. After several such rows, one that should succeed is asked as a proof that
    the rows are to blame.
    """

    def __init__(self, stage: RowStage, device: str) -> None:
        self.stage = stage
        self.function: BatchFunction = stage.open(device)
        self.device = str(getattr(self.function, "device", device))  # what became of "auto"
        self.safe_rows: dict[int, int] = {}  # by shape
        self._fitted_batches: dict[int, int] = {}  # by shape, since its safe size changed
        self._failed_alone = 0  # rows, since a batch succeeded
        self._witness: pa.RecordBatch | None = None  # a row that was answered

    def __call__(self, window: pa.RecordBatch) -> pa.Table:
        """The answers to `window`, row by row: the stage's schema, its parts, status, error."""
        sizes = self._sizes(window)
        order = np.argsort(-sizes, kind="stable")
        rows, sizes = window.take(pa.array(order)), sizes[order]
        self._witness = self._witness or rows.slice(len(rows) - 1)  # the smallest is likeliest
        if hasattr(self.function, "expect"):
            self.function.expect(rows)
        answers: list[pa.RecordBatch] = []
        start = 0
        while start < window.num_rows:
            shape = int(sizes[start]).bit_length()
            batch = rows.slice(start, self._limit(shape))
            answers += self._batch(batch, shape)
            start += batch.num_rows
        restore = np.argsort(order, kind="stable")
        return pa.Table.from_batches(answers).take(pa.array(restore))

    @property
    def waited_s(self) -> float:
        """Seconds that the function has waited for what it prepares."""
        return float(getattr(self.function, "waited_s", 0.0))

    def _sizes(self, window: pa.RecordBatch) -> NDArray[np.int64]:
        if self.stage.sizes is None:
            return np.ones(window.num_rows, np.int64)
        return self.stage.sizes(window)

    def _limit(self, shape: int) -> int:
        """Rows that a batch of this shape may have: what fitted it, or any smaller shape."""
        known = [rows for other, rows in self.safe_rows.items() if other <= shape]
        return min([self.stage.batch_rows, *known])

    def _batch(self, batch: pa.RecordBatch, shape: int) -> list[pa.RecordBatch]:
        trial = _Trial()
        answers = self._answer(batch, trial)
        if trial.too_large and trial.fitted:
            self.safe_rows[shape] = trial.fitted
            self._fitted_batches[shape] = 0
            logger.warning(
                "stage %s: %d rows at once do not fit the device's memory; %d for now",
                *(self.stage.name, batch.num_rows, trial.fitted),
            )
        elif batch.num_rows == self.safe_rows.get(shape):
            self._grow(shape)
        return answers

    def _grow(self, shape: int) -> None:
        """Another batch of the safe size has fitted; after enough of them, twice the size may."""
        self._fitted_batches[shape] += 1
        if self._fitted_batches[shape] >= RETRY_BATCHES:
            self._fitted_batches[shape] = 0
            self.safe_rows[shape] = min(2 * self.safe_rows[shape], self.stage.batch_rows)

    def _answer(self, batch: pa.RecordBatch, trial: "_Trial") -> list[pa.RecordBatch]:
        """Answers to `batch`; where it fails as a whole, to its halves."""
        answers = self._ask(batch)
        if not isinstance(answers, Exception):
            trial.fitted = max(trial.fitted, batch.num_rows)
            self._failed_alone, self._witness = 0, batch.slice(0, 1)
            return [self._complete(batch, answers)]
        error = answers
        if batch.num_rows == 1:
            trial.failed_alone += 1
            self._failed_alone += 1
            if self._failed_alone % SUSPICIOUS_ROWS == 0:
                self._prove_rows_guilty(error)
            return [self._failed(error)]
        failed_before, half = trial.failed_alone, (batch.num_rows + 1) // 2
        parts = self._answer(batch.slice(0, half), trial) + self._answer(batch.slice(half), trial)
        if is_out_of_memory(error) and trial.failed_alone == failed_before:
            trial.too_large = True  # no single row explains it, so their number does
        return parts

    def _ask(self, batch: pa.RecordBatch) -> pa.RecordBatch | Exception:
        try:
            return self.function(batch)
        except Exception as raised:
            # Its traceback holds on to the tensors that did not fit.
            error = raised.with_traceback(None)
        if is_out_of_memory(error):
            release_memory()
        return error

    def _prove_rows_guilty(self, error: Exception) -> None:
        """Ask a row that should succeed; raises RowsError where it fails, too."""
        assert self._witness is not None
        if isinstance(self._ask(self._witness), Exception):
            raise RowsError(
                f"stage {self.stage.name}: {self._failed_alone} rows in a row failed "
                f"({_describe(error)}), and so does one that should not; look at the model and the "
                "device, then run again: what is committed is kept"
            ) from error

    def _complete(self, batch: pa.RecordBatch, answers: pa.RecordBatch) -> pa.RecordBatch:
        schema = self._schema()
        if answers.num_rows != batch.num_rows:
            raise RowsError(
                f"stage {self.stage.name}: its batch function gave {answers.num_rows} answers to "
                f"{batch.num_rows} rows; it must give one per row"
            )
        columns = {name: answers.column(name) for name in answers.schema.names}
        columns.setdefault("status", pa.repeat(OK, batch.num_rows))
        columns.setdefault("error", pa.nulls(batch.num_rows, pa.string()))
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)

    def _failed(self, error: Exception) -> pa.RecordBatch:
        """One row without an answer; transient, for another device or day may have one."""
        row = {"status": TRANSIENT, "error": _describe(error)}
        return pa.RecordBatch.from_pylist([row], schema=self._schema())

    def _schema(self) -> pa.Schema:
        return pa.schema([*self.stage.schema, *self.stage.parts, *OUTCOME])


@dataclass
class _Trial:
    """What came of a batch and its parts."""

    fitted: int = 0  # rows of the largest part that succeeded
    failed_alone: int = 0  # rows
    too_large: bool = False  # a part ran out of memory though each of its rows fits


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device (or the host) had no room: torch, CUDA and cuBLAS say it differently."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"OutOfMemoryError", "MemoryError"}:
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    )


def release_memory() -> None:
    """Give back the GPU memory that the failed batch held, so that half of it has room."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gc.collect()  # slow, and of use only where tensors may hang in cycles
        torch.cuda.empty_cache()


def _describe(error: BaseException) -> str:
    kind = "out of memory" if is_out_of_memory(error) else type(error).__name__
    return f"{kind}: {' '.join(str(error).split())}"[:ERROR_CHARACTERS]
