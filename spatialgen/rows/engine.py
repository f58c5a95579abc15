"""Answering a table: only what has no answer, in row_id order, committed as it goes.

A round is a stretch of the input; its unanswered questions are cut into windows of a fixed row
count. A window is answered and committed as a whole, so a run that was killed goes on with the very
batches that it would have made.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.lake import duck
from spatialgen.lake.ids import h64_sql
from spatialgen.lake.lake import Lake
from spatialgen.lake.store import Memo, gather
from spatialgen.project import uninterrupted
from spatialgen.rows.batcher import OK
from spatialgen.rows.progress import Progress
from spatialgen.rows.runner import Result, Runner
from spatialgen.rows.source import Source, count_rows, register_rows, scan_rows
from spatialgen.rows.stage import RowStage

ROUND_ROWS = 1_000_000  # bounds memory; each round looks once through the store's keys
TARGET_ROUND_ROWS = 16_384  # with a target: how far beyond it rows may be judged
SCAN_ROWS = 65_536
COMMIT_SECONDS = 5.0
COMMIT_ROWS = 8192
MAX_ROW_ID = 2**63 - 1
TIMESTAMP = pa.timestamp("us", tz="UTC")


@dataclass
class Counts:
    """What a run did: asked rows = reused (answered before) + the rest; questions computed."""

    asked: int = 0
    reused: int = 0
    computed: int = 0
    failed: int = 0
    device_s: float = field(default=0.0, compare=False)  # that answers took; of all devices
    waited_s: float = field(default=0.0, compare=False)  # of these, waiting for pictures


class Target(Protocol):
    """Ends a run before its input does."""

    def missing(self, answered: pa.Table) -> int:
        """Rows still to answer (0: enough), now that this round (row_id, key) is answered."""
        ...


class Attachments(Protocol):
    """Where the large parts of answers go: a dataset of its own in the store."""

    def take(self, answers: pa.Table) -> pa.Table:
        """Keep the large parts of `answers`; what remains has the stage's columns and the outcome.

        Called for each result, in this thread.
        """
        ...

    def commit(self) -> None:
        """Commit what was taken. The engine commits the answers that refer to it afterwards, so a
        kill between the two costs a question asked twice and never an answer without its part.
        """
        ...


def answer_rows(
    lake: Lake,
    stage: RowStage,
    source: Source,
    runner: Runner,
    *,
    target: Target | None = None,
    attachments: Attachments | None = None,
    label: str = "",
    quiet: bool = False,
) -> Counts:
    """Give every row of `source` (row_id, in its order, and the stage's key columns) an answer.

    Answers are in `lake.memo(stage.name, stage.schema)` afterwards. Interrupted, it commits the
    finished windows first. The progress is called `label` (default: the stage's name).
    """
    memo = lake.memo(stage.name, stage.schema)
    asked, unanswered, questions = count_unanswered(lake, stage, source)
    counts = Counts(asked=asked, reused=asked - unanswered)
    if questions == 0 and target is None:
        return counts
    with (
        Progress(lake, label or stage.name, questions, counts.reused, quiet=quiet) as progress,
        _Commits(memo, stage, progress, counts, attachments) as commits,
    ):
        windows = _windows(lake, stage, source, commits, target, progress)
        for result in runner.run(stage, windows):
            commits.add(result)
    if counts.computed:
        memo.compact()
    return counts


def count_unanswered(
    lake: Lake,
    stage: RowStage,
    source: Source,
    *,
    last_row_id: int = MAX_ROW_ID,
) -> tuple[int, int, int]:
    """Rows of `source`, how many of them up to `last_row_id` have no answer, and in how many
    distinct questions.
    """
    memo = lake.memo(stage.name, stage.schema)
    lake.spill.mkdir(parents=True, exist_ok=True)
    connection = duck.connect(spill=lake.spill)
    try:
        register_rows(connection, "source", source)
        connection.execute(
            f"create view wanted as select {key_sql(stage)} as key from source "
            f"where row_id <= {last_row_id}"
        )
        unanswered = memo.unanswered(connection, attempt=stage.attempt, stale=stage.stale)
        ((rows, questions),) = connection.execute(
            f"select count(*), count(distinct key) from ({unanswered})"
        ).fetchall()
        return count_rows(source), rows, questions
    finally:
        connection.close()


def key_sql(stage: RowStage) -> str:
    """The key of a row's question, over the stage's key columns."""
    return h64_sql(f"'{stage.fp}'", *stage.key)


def _windows(
    lake: Lake,
    stage: RowStage,
    source: Source,
    commits: "_Commits",
    target: Target | None,
    progress: Progress,
) -> Iterator[pa.RecordBatch]:
    """The unanswered questions in windows; a round begins when the one before is committed."""
    for rows in rounds(stage, source, ROUND_ROWS if target is None else TARGET_ROUND_ROWS):
        pending = pending_rows(lake, stage, rows)
        yield from pending.to_batches(max_chunksize=stage.window_rows)
        commits.flush()
        if target is not None:
            missing = target.missing(rows)
            progress.expect(missing)
            if missing == 0:
                return


def rounds(
    stage: RowStage,
    source: Source,
    round_rows: int,
    columns: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """Stretches of `source` in its order: key, row_id, the stage's columns, then `columns`."""
    columns = list(dict.fromkeys(["row_id", *stage.key, *stage.carried, *columns]))
    for rows in gather(scan_rows(source, columns, min(round_rows, SCAN_ROWS)), round_rows):
        yield _with_keys(stage, rows)


def _with_keys(stage: RowStage, rows: pa.Table) -> pa.Table:
    connection = duck.connect()
    try:
        connection.register("rows", rows)
        query = f"select {key_sql(stage)} as key, * from rows order by row_id"
        return connection.sql(query).to_arrow_table()
    finally:
        connection.close()


def pending_rows(lake: Lake, stage: RowStage, rows: pa.Table) -> pa.Table:
    """The rows of a round that have no answer, equal questions once, in row_id order."""
    memo = lake.memo(stage.name, stage.schema)
    return memo.pending(rows, attempt=stage.attempt, stale=stage.stale).combine_chunks()


class _Commits:
    """Appends finished windows to the memo, every few seconds and at the end, come what may."""

    def __init__(
        self,
        memo: Memo,
        stage: RowStage,
        progress: Progress,
        counts: Counts,
        attachments: Attachments | None,
    ) -> None:
        self.memo = memo
        self.stage = stage
        self.progress = progress
        self.counts = counts
        self.attachments = attachments
        self.finished: list[pa.Table] = []
        self.last = time.monotonic()

    def __enter__(self) -> "_Commits":
        return self

    def __exit__(self, *error: object) -> None:
        self.flush()

    def add(self, result: Result) -> None:
        """Take a window's answers; commit if it is time to."""
        answers = result.answers
        if self.attachments is not None:
            answers = self.attachments.take(answers)
        self.finished.append(memo_rows(self.memo, self.stage, result.window, answers))
        failed = len(result.window) - pc.sum(pc.equal(answers["status"], OK)).as_py()
        self.counts.computed += len(result.window)
        self.counts.failed += failed
        self.counts.device_s += result.seconds
        self.counts.waited_s += result.waited_s
        self.progress.advance(result, failed)
        rows = sum(map(len, self.finished))
        if rows >= COMMIT_ROWS or time.monotonic() - self.last >= COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Commit what is finished. Ctrl-C waits for it: half a commit would compute rows twice."""
        self.last = time.monotonic()
        if self.finished:
            with uninterrupted():
                if self.attachments is not None:
                    self.attachments.commit()
                self.memo.append(pa.concat_tables(self.finished))
                self.finished.clear()


def memo_rows(memo: Memo, stage: RowStage, asked: pa.Table, answers: pa.Table) -> pa.Table:
    """Rows for the memo: the questions (key, row_id) and their answers (result, status, error)."""
    columns = {
        "key": asked["key"],
        "row_id": asked["row_id"],
        "fp": pa.repeat(stage.fp, asked.num_rows),
        "attempt": pa.repeat(pa.scalar(stage.attempt, pa.int32()), asked.num_rows),
        "committed": pa.repeat(pa.scalar(datetime.now(UTC), TIMESTAMP), asked.num_rows),
    } | {name: answers[name] for name in answers.column_names}
    return pa.table([columns[name] for name in memo.schema.names], schema=memo.schema)
