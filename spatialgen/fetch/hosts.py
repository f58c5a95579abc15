"""What one host can take: parallel requests, pauses, and a circuit breaker."""

from collections import deque
from dataclasses import dataclass, field

from spatialgen.fetch.outcome import Outcome
from spatialgen.fetch.reasons import UNREACHED, Reason

PUSHBACK = {Reason.rate_limited, Reason.server_error}
PUSHBACK_SHARE = 0.25  # of a host's latest answers; single errors are no reason to slow down
MEMORY = 0.1  # weight of the latest answer in that share
MAX_RETRY_AFTER = 120.0  # s; who asks for more is asked in another run
LONGEST_REST = 3600.0
LIMITED = 3  # answers 429 in a row that are meant for us, and not for one page
BREAK_AFTER = 20  # requests in a row that nobody answered
LONGEST_BREAK = 16  # times the first


@dataclass(slots=True)
class Question:
    """A row to answer."""

    key: int
    row_id: int
    url: str
    host: str
    requests: int = 0  # made so far
    seconds: float = 0.0  # they took


@dataclass(slots=True)
class Host:
    """A host as this run knows it."""

    name: str
    limit: float  # requests at once; falls and rises (AIMD, Chiu and Jain 1989)
    most: int  # and never above
    ready: deque[Question] = field(default_factory=deque)
    active: int = 0
    paused_until: float = 0.0
    down_until: float = 0.0  # a pause too long to wait for: its rows are given up
    limited: int = 0  # answers 429, in a row
    trips: int = 0  # of its circuit breaker, in a row
    pushback: float = 0.0  # share of its latest answers that ask for less
    unreached: int = 0  # requests that nobody answered, in a row
    queued: bool = False  # in the schedule's rotation

    def may_start(self, now: float) -> bool:
        """Whether another request may begin. After a trip, one at a time, as a probe."""
        if now < self.paused_until:
            return False
        return self.active < (1 if self.trips else max(int(self.limit), 1))

    def is_down(self, now: float) -> bool:
        """Whether its rows are given up: a probe failed, or it wants us away for long."""
        return now < self.down_until

    def is_idle(self, now: float) -> bool:
        """Whether nothing is known of it that a new Host would not know."""
        trouble = self.trips or self.unreached or self.limited or now < self.paused_until
        slower = self.pushback > MEMORY or self.limit < self.most
        return not (self.active or self.ready or trouble or slower)

    def finished(self, outcome: Outcome, now: float, breaker_s: float) -> None:
        """Learn from the outcome of one of its requests."""
        if outcome.reason in UNREACHED:
            self._unreached(now, breaker_s)
            return
        if outcome.reason is None or outcome.http_status is not None:
            self.trips = self.unreached = 0  # somebody is there
        pushes = outcome.reason in PUSHBACK
        self.pushback += MEMORY * (pushes - self.pushback)
        if pushes and self.pushback > PUSHBACK_SHARE:
            self.limit, self.pushback = max(self.limit / 2, 1.0), 0.0
        elif not pushes:
            self.limit = min(self.limit + 1 / self.limit, self.most)
        self.limited = self.limited + 1 if outcome.reason is Reason.rate_limited else 0
        if self.limited >= LIMITED and outcome.retry_after:
            self._rest(outcome.retry_after, now)

    def _rest(self, seconds: float, now: float) -> None:
        """Leave it alone for as long as it asks; if that is long, its rows are given up."""
        if seconds > MAX_RETRY_AFTER:
            self.down_until = now + min(seconds, LONGEST_REST)
        self.paused_until = max(self.paused_until, now + min(seconds, LONGEST_REST))

    def _unreached(self, now: float, breaker_s: float) -> None:
        self.unreached += 1
        if self.trips or self.unreached >= BREAK_AFTER:
            if now >= self.paused_until:  # requests that began before the trip tell nothing new
                self.paused_until = now + breaker_s * min(2**self.trips, LONGEST_BREAK)
                self.trips += 1
                self.down_until = self.paused_until if self.trips > 1 else 0.0
            self.unreached = 0
