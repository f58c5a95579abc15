"""How many requests at once this machine can follow: as many as keep its event loop in time."""

import resource

from spatialgen.fetch.clock import PatientClock
from spatialgen.fetch.outcome import Outcome
from spatialgen.fetch.reasons import Reason

START, LEAST, MOST = 64, 16, 512
DECIDE_S = 0.5
LOW_LAG, HIGH_LAG = 0.3, 0.55  # share of the time in which the loop is late
RISE = 0.02  # of the share of timeouts, over twice the usual
USUAL_WEIGHT = 0.05
SPARE_FILES = 200  # that the rest of the process may need


class Concurrency:
    """`limit` follows lag and timeouts: up by a tenth, down by a quarter; or it is fixed."""

    def __init__(self, fixed: int | None = None) -> None:
        self.adapts = fixed is None
        self.limit = min(fixed or START, _most_connections())
        self._usual = 0.0  # share of timeouts
        self._finished = self._timeouts = 0
        self._decided = self._late_s = 0.0

    def observe(self, outcome: Outcome) -> None:
        """Count a request's outcome."""
        self._finished += 1
        self._timeouts += outcome.reason in (Reason.timeout, Reason.dns)

    def decide(self, now: float, clock: PatientClock, *, saturated: bool) -> None:
        """Move the limit, every DECIDE_S; `saturated`: more could be in flight."""
        elapsed = now - self._decided
        if not self.adapts or elapsed < DECIDE_S:
            return
        lag = (clock.late_s - self._late_s) / elapsed
        share = self._timeouts / max(self._finished, 1)
        # Hosts that hang do so at any number of requests; only what is unusual may be our doing.
        rising = self._finished >= 20 and share > 2 * self._usual + RISE
        self._usual += USUAL_WEIGHT * (share - self._usual) if self._finished else 0.0
        self._finished = self._timeouts = 0
        self._decided, self._late_s = now, clock.late_s
        if lag > HIGH_LAG or rising:
            self.limit = max(self.limit * 3 // 4, LEAST)
        elif lag < LOW_LAG and saturated:
            self.limit = min(self.limit * 11 // 10 + 1, MOST, _most_connections())


def _most_connections() -> int:
    """What the process may open, with its limit raised as far as that goes without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - SPARE_FILES, 1) if hard != resource.RLIM_INFINITY else 2**31
