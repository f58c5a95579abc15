"""A runner for answers that are waited for, not computed: many rows in flight at once.

An event loop in a thread of its own asks (servers, mostly). The caller's thread gives it windows
and takes what is answered, in any order and as soon as it is, so one slow row holds back nothing.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from spatialgen.rows.batcher import OUTCOME
from spatialgen.rows.runner import Result
from spatialgen.rows.stage import RowStage

RESULT_ROWS = 256  # handed over at once, at most
RESULT_BYTES = 4 << 20
RESULT_SECONDS = 0.5
HELD_BYTES = 24 << 20  # answered and not yet taken; beyond it, answering waits
STOP_SECONDS = 10.0  # that closing connections may take

StreamFunction = Callable[["Exchange"], Awaitable[None]]
"""What a stage's `open` gives `Streaming`: takes windows from the exchange until there is none, and
answers each of their rows.
"""


class Exchange:
    """Between the loop, which asks for windows and answers rows, and the caller's thread."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()  # to the caller's thread
        self.figures: dict[str, str] = {}  # what the progress shows besides rows; the loop's
        self._loop: asyncio.AbstractEventLoop | None = None
        self._window: asyncio.Future[pa.RecordBatch | None] | None = None
        self._answers: list[tuple[int, int, Mapping[str, Any]]] = []
        self._bytes = self._held = 0
        self._since = time.monotonic()
        self._taken = asyncio.Event()

    async def next_window(self) -> pa.RecordBatch | None:
        """The next window to answer; None at the end. Not to be called twice at once."""
        self._window = asyncio.get_running_loop().create_future()
        self.inbox.put(_Wanted())
        return await self._window

    async def answer(self, key: int, row_id: int, answer: Mapping[str, Any], n_bytes: int) -> None:
        """Hand over a row's answer, of this size; waits while the caller has too much to take."""
        self._answers.append((key, row_id, answer))
        self._bytes += n_bytes
        self._held += n_bytes
        self.hand_over(RESULT_SECONDS)
        while self._held > HELD_BYTES:
            self.hand_over(0)
            self._taken.clear()
            await self._taken.wait()

    def hand_over(self, seconds: float) -> None:
        """Give the caller what is answered, if it is much or the oldest is so old."""
        late = time.monotonic() - self._since >= seconds
        if not self._answers:
            self._since = time.monotonic()
        elif late or len(self._answers) >= RESULT_ROWS or self._bytes >= RESULT_BYTES:
            self.inbox.put(_Answered(self._answers, self._bytes, dict(self.figures)))
            self._answers, self._bytes, self._since = [], 0, time.monotonic()

    async def serve(self, function: StreamFunction) -> None:
        """Run `function` to its end, in this loop."""
        self._loop = asyncio.get_running_loop()
        clock = asyncio.create_task(self._hand_over_in_time())
        try:
            await function(self)
        finally:
            clock.cancel()
            self.hand_over(0)

    async def _hand_over_in_time(self) -> None:
        while True:
            await asyncio.sleep(RESULT_SECONDS)
            self.hand_over(RESULT_SECONDS)

    def feed(self, window: pa.RecordBatch | None) -> None:
        """From the caller's thread: the window that was asked for."""
        assert self._window is not None
        self._call(partial(self._window.set_result, window))

    def took(self, n_bytes: int) -> None:
        """From the caller's thread: so much was taken."""

        def release() -> None:
            self._held -= n_bytes
            self._taken.set()

        self._call(release)

    def _call(self, function: Callable[[], Any]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function)


@dataclass(frozen=True)
class Streaming:
    """Runs a StreamFunction in one event loop; `device` names it in the progress."""

    device: str = "network"

    def run(self, stage: RowStage, windows: Iterator[pa.RecordBatch]) -> Iterator[Result]:
        """Yield answers as they come. Interrupted while it waits for one, it yields what is
        answered already, and drops what is in flight.
        """
        schema = pa.schema([*stage.schema, *stage.parts, *OUTCOME])
        service = _Service(stage.open(self.device))
        service.start()
        last = time.perf_counter()
        try:
            for message in service.messages(windows):
                now = time.perf_counter()
                yield _result(message, schema, self.device, now - last)
                last = now
        finally:
            service.stop()


@dataclass
class _Service:
    """The loop's thread."""

    function: StreamFunction
    exchange: Exchange = field(default_factory=Exchange)
    error: BaseException | None = None
    ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.thread = threading.Thread(target=self._serve, name="streaming", daemon=True)
        self.thread.start()
        self.ready.wait()

    def _serve(self) -> None:
        try:
            asyncio.run(self._cancellable())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self.error = error  # raised where the caller sees it
        finally:
            self.exchange.inbox.put(_Ended())
            self.ready.set()

    async def _cancellable(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task = asyncio.current_task()
        self.ready.set()
        await self.exchange.serve(self.function)

    def messages(self, windows: Iterator[pa.RecordBatch]) -> Iterator["_Answered"]:
        """What is answered, until all is; feeds the loop meanwhile."""
        try:
            while not isinstance(message := self.exchange.inbox.get(), _Ended):
                if isinstance(message, _Wanted):
                    self.exchange.feed(next(windows, None))
                    continue
                yield message
                self.exchange.took(message.n_bytes)
        except KeyboardInterrupt:
            self.stop()
            yield from self._left()
            raise
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Cancel what is in flight and end the thread."""
        with contextlib.suppress(RuntimeError, AttributeError):  # it has ended, or never began
            self.loop.call_soon_threadsafe(lambda: self.task and self.task.cancel())
        self.thread.join(STOP_SECONDS)

    def _left(self) -> Iterator["_Answered"]:
        while not self.exchange.inbox.empty():
            if isinstance(message := self.exchange.inbox.get(), _Answered):
                yield message


@dataclass(frozen=True)
class _Wanted:
    """The loop has room for a window."""


@dataclass(frozen=True)
class _Ended:
    """The loop has ended."""


@dataclass(frozen=True)
class _Answered:
    rows: list[tuple[int, int, Mapping[str, Any]]]  # key, row_id, answer
    n_bytes: int
    figures: dict[str, str]


def _result(message: _Answered, schema: pa.Schema, device: str, seconds: float) -> Result:
    keys, row_ids, answers = zip(*message.rows, strict=True)
    window = pa.record_batch(
        [pa.array(keys, pa.int64()), pa.array(row_ids, pa.int64())], names=["key", "row_id"]
    )
    columns = [pa.array([answer.get(f.name) for answer in answers], f.type) for f in schema]
    answers = pa.table(columns, schema=schema)
    return Result(window, answers, device, seconds, figures=message.figures)
