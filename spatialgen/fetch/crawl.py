"""The crawl: rows in, answers out, with as many requests at once as machine and hosts can take."""

import asyncio
import time
from typing import Any

from spatialgen.errors import RowsError
from spatialgen.fetch.client import Client
from spatialgen.fetch.clock import TICK_S
from spatialgen.fetch.concurrency import Concurrency
from spatialgen.fetch.hosts import Question
from spatialgen.fetch.outcome import Outcome, failure
from spatialgen.fetch.reasons import UNREACHED, Reason
from spatialgen.fetch.schedule import Policy, Schedule
from spatialgen.fetch.urls import host_of
from spatialgen.rows.batcher import OK
from spatialgen.rows.streaming import Exchange

ROWS_AHEAD = 4  # rows held for each request in flight, so that many hosts can take turns
LEAST_AHEAD, MOST_AHEAD = 2048, 50_000
OUTAGE_S, OUTAGE_ROWS = 60.0, 200


class Crawl:
    """The StreamFunction of stage download; one crawl, one run."""

    def __init__(self, client: Client, policy: Policy, concurrency: Concurrency) -> None:
        self.client = client
        self.concurrency = concurrency
        self.schedule = Schedule(policy)
        self.in_flight = 0
        self._keys: set[int] = set()  # of the rows that are on their way
        self._fed = False  # there are no more windows
        self._room = asyncio.Event()
        self._rates = Rates()
        self._heard = 0.0  # when somebody answered last, by the client's clock
        self._unheard = 0  # requests that nobody answered since

    async def __call__(self, exchange: Exchange) -> None:
        """Answer every row that the exchange has."""
        self.exchange = exchange
        try:
            async with self.client, asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._feed())
                await self._run()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _run(self) -> None:
        """Start what may start, several times a second and whenever a request ends."""
        while not (self._fed and self.schedule.rows == 0 and not self.schedule.given_up):
            self._start_requests()
            await self._answer_given_up()
            if self._wants_rows():
                self._room.set()
            self._notice_outage()
            self.exchange.figures = self._rates.figures(self.in_flight, self.concurrency.limit)
            saturated = self.in_flight >= self.concurrency.limit
            now = asyncio.get_running_loop().time()
            self.concurrency.decide(now, self.client.clock, saturated=saturated)
            await asyncio.sleep(TICK_S)

    async def _feed(self) -> None:
        while True:
            while not self._wants_rows():
                self._room.clear()
                await self._room.wait()
            window = await self.exchange.next_window()
            if window is None:
                self._fed = True
                return
            now = asyncio.get_running_loop().time()
            for row in window.select(["key", "row_id", "url"]).to_pylist():
                if row["key"] in self._keys:  # asked by an earlier round, and not answered yet
                    continue
                self._keys.add(row["key"])
                self.schedule.add(Question(**row, host=host_of(row["url"])), now)
            self._start_requests()

    def _wants_rows(self) -> bool:
        """Whether more rows are needed, so that many hosts can take turns."""
        ahead = max(ROWS_AHEAD * self.concurrency.limit, LEAST_AHEAD)
        present = self.schedule.rows - self.schedule.waiting()
        idle = self.in_flight < self.concurrency.limit and not self.schedule.can_start()
        return self.schedule.rows < MOST_AHEAD and (present < ahead or idle)

    def _notice_outage(self) -> None:
        """Stop before a whole list fails because this machine is cut off.

        It is noticed only after some answers: a list of dead hosts looks the same otherwise. So it
        is in the list's last rows, which are often such.
        """
        silence = self.client.clock.now() - self._heard
        if self._fed or self._heard == 0.0 or silence < OUTAGE_S or self._unheard < OUTAGE_ROWS:
            return
        raise RowsError(
            f"nobody has answered for {silence:.0f} s, {self._unheard} requests in a row; is this "
            "machine cut off? look at the network, then run again: what is committed is kept"
        )

    def _start_requests(self) -> None:
        now = asyncio.get_running_loop().time()
        while self.in_flight < self.concurrency.limit:
            question = self.schedule.start(now, last=self._fed)
            if question is None:
                return
            self.in_flight += 1
            self._tasks.create_task(self._ask(question))

    async def _ask(self, question: Question) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            outcome = await self.client.fetch(question.url)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            outcome = failure(Reason.failed, repr(error))  # a library's future, not us
        except Exception as error:  # a defect of ours, on this URL: the others go on
            outcome = failure(Reason.failed, f"{type(error).__name__}: {error}")
        now = loop.time()
        question.seconds += now - began
        self.concurrency.observe(outcome)
        if outcome.reason is None or outcome.http_status is not None:
            self._heard, self._unheard = self.client.clock.now(), 0
        else:
            self._unheard += outcome.reason in UNREACHED
        if self.schedule.finish(question, outcome, now):
            await self._answer(question, outcome)
        await self._answer_given_up()
        self.in_flight -= 1
        self._start_requests()

    async def _answer_given_up(self) -> None:
        while self.schedule.given_up:
            await self._answer(*self.schedule.given_up.pop())

    async def _answer(self, question: Question, outcome: Outcome) -> None:
        self._keys.discard(question.key)
        size = len(outcome.data or b"")
        self._rates.add(ok=outcome.reason is None, n_bytes=size)
        await self.exchange.answer(question.key, question.row_id, as_row(question, outcome), size)


def as_row(question: Question, outcome: Outcome) -> dict[str, Any]:
    """The answer to a row: the columns of the stage's schema, its parts, and the outcome."""
    picture = outcome.picture
    return {
        "status": OK if outcome.reason is None else outcome.reason.status,
        "error": outcome.error,
        "reason": outcome.reason,
        "http_status": outcome.http_status,
        "host": question.host,
        "requests": question.requests,
        "seconds": question.seconds,
        "sha256": outcome.sha256,
        "n_bytes": outcome.n_bytes,
        "width": picture and picture.width,
        "height": picture and picture.height,
        "format": picture and picture.format,
        "image": outcome.data,
    }


class Rates:
    """What the progress shows: share of pictures, pictures and MB per second, requests."""

    def __init__(self) -> None:
        self.rows = self.pictures = self.n_bytes = 0
        self._began = time.monotonic()

    def add(self, *, ok: bool, n_bytes: int) -> None:
        """Count an answer."""
        self.rows += 1
        self.pictures += ok
        self.n_bytes += n_bytes

    def figures(self, in_flight: int, limit: int) -> dict[str, str]:
        """As text, by name."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        return {
            "ok": f"{self.pictures / max(self.rows, 1):.0%}",
            "images/s": f"{self.pictures / seconds:.0f}",
            "MB/s": f"{self.n_bytes / seconds / 1e6:.1f}",
            "in flight": f"{in_flight}/{limit}",
        }
