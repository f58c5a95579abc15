"""Which row is next: hosts take turns, and a row that failed waits without holding a slot."""

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass

from spatialgen.fetch.hosts import MAX_RETRY_AFTER, Host, Question
from spatialgen.fetch.outcome import Outcome, failure
from spatialgen.fetch.reasons import RETRIED, Reason


@dataclass(frozen=True)
class Policy:
    """How patient a run is; times in seconds."""

    retries: int  # of a row, after its first request
    per_host: int  # requests at once
    backoff_s: float = 1.0  # mean of the first pause; doubles with each retry
    backoff_max_s: float = 30.0
    forbidden_s: float = 60.0  # until a 403 is tried again, or sooner when nothing else is left
    breaker_s: float = 30.0  # pause of a host that nobody answers at; doubles with each trip


class Schedule:
    """Rows on their way: ready by host, in flight, or waiting for another try.

    `now` is the event loop's clock. Rows that it gives up are in `given_up`; the caller takes them.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.given_up: list[tuple[Question, Outcome]] = []
        self.rows = 0  # ready, in flight and waiting
        self._active = 0
        self._hosts: dict[str, Host] = {}
        self._rotation: deque[Host] = deque()  # have a row ready and may start it
        self._waiting: list[tuple[float, int, Question]] = []  # heaps, by time
        self._forbidden: list[tuple[float, int, Question]] = []
        self._paused: list[tuple[float, int, Host]] = []
        self._ticket = itertools.count()  # equal times: first come, first served
        self._random = random.Random()

    def add(self, question: Question, now: float) -> None:
        """Take a row on."""
        self.rows += 1
        self._ready(question, now)

    def waiting(self) -> int:
        """Rows that wait for another try: they keep nobody else from starting."""
        return len(self._waiting) + len(self._forbidden)

    def can_start(self) -> bool:
        """Whether some host has a row ready and room for it."""
        return bool(self._rotation)

    def start(self, now: float, *, last: bool = False) -> Question | None:
        """The next row to ask, if any may be; `last`: no more will be added."""
        self._release(now, last)
        while self._rotation:
            host = self._rotation.popleft()
            host.queued = False
            if host.ready and host.may_start(now):
                question = host.ready.popleft()
                host.active += 1
                self._active += 1
                self._queue(host, now)
                return question
            self._queue(host, now)
        return None

    def finish(self, question: Question, outcome: Outcome, now: float) -> bool:
        """Whether this outcome of a started row is its answer; otherwise it is asked again."""
        host = self._hosts[question.host]
        host.active -= 1
        self._active -= 1
        question.requests += 1
        host.finished(outcome, now, self.policy.breaker_s)
        pause = self._pause(question, outcome)
        if pause is None:
            self.rows -= 1
        elif outcome.reason is Reason.forbidden:
            heapq.heappush(self._forbidden, (now + pause, next(self._ticket), question))
        else:
            heapq.heappush(self._waiting, (now + pause, next(self._ticket), question))
        if host.is_down(now):
            while host.ready:
                self._give_up(host.ready.popleft())
        self._queue(host, now)
        return pause is None

    def _pause(self, question: Question, outcome: Outcome) -> float | None:
        """Seconds until another try; None: this outcome is the answer."""
        failures = question.requests
        if failures > self.policy.retries:
            return None
        if outcome.reason is Reason.forbidden:
            # An overloaded host says 403, too; but seldom, so it is tried only once.
            once = outcome.http_status == 403 and failures == 1
            return self.policy.forbidden_s if once else None
        if outcome.reason not in RETRIED:
            return None
        wanted = outcome.retry_after or 0.0
        if wanted > MAX_RETRY_AFTER:
            return None
        # Full jitter (Brooker 2015, AWS Architecture Blog): no two rows come back at once.
        longest = min(self.policy.backoff_s * 2**failures, self.policy.backoff_max_s)
        return max(self._random.uniform(0, longest), wanted)

    def _ready(self, question: Question, now: float) -> None:
        host = self._hosts.get(question.host)
        if host is None:
            most = self.policy.per_host
            host = self._hosts[question.host] = Host(question.host, limit=most, most=most)
        if host.is_down(now):
            self._give_up(question)
            return
        host.ready.append(question)
        self._queue(host, now)

    def _give_up(self, question: Question) -> None:
        self.rows -= 1
        why = f"{question.host} does not answer, or asks us to stay away for long"
        self.given_up.append((question, failure(Reason.host_down, why)))

    def _queue(self, host: Host, now: float) -> None:
        """Put a host where it belongs: in the rotation, among the paused, or out of mind."""
        if host.is_idle(now) and not host.queued:
            self._hosts.pop(host.name, None)
        elif host.ready and not host.queued:
            if host.may_start(now):
                host.queued = True
                self._rotation.append(host)
            elif now < host.paused_until:
                host.queued = True
                heapq.heappush(self._paused, (host.paused_until, next(self._ticket), host))

    def _release(self, now: float, last: bool) -> None:
        """Bring back who has waited long enough."""
        while self._paused and self._paused[0][0] <= now:
            host = heapq.heappop(self._paused)[2]
            host.queued = False
            self._queue(host, now)
        while self._waiting and self._waiting[0][0] <= now:
            self._ready(heapq.heappop(self._waiting)[2], now)
        nothing_else = last and self._active == 0 and self.rows == len(self._forbidden)
        while self._forbidden and (nothing_else or self._forbidden[0][0] <= now):
            self._ready(heapq.heappop(self._forbidden)[2], now)
