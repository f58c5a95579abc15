"""How many requests at once this machine can follow.

A deadline counts the time that we take ourselves. On a starved machine that makes false timeouts,
so the event loop's own lag is measured: it lowers the number of requests, and it excuses timeouts.
"""

import asyncio
import resource

from spatialgen.fetch.client import Outcome
from spatialgen.fetch.reasons import Reason

START, LEAST, MOST = 64, 16, 512
TICK_S = 0.05
DECIDE_TICKS = 10
LOW_LAG_S, HIGH_LAG_S = 0.02, 0.06  # mean over the ticks of a decision
LAG_SHARE = 0.1  # of a request's time: so much lag excuses its timeout
RISE = 0.02  # of the share of timeouts, over twice the usual
USUAL_WEIGHT = 0.05
SPARE_FILES = 200  # that the rest of the process may need


class Concurrency:
    """`limit` follows lag and timeouts: up by a tenth, down by a quarter; or it is fixed."""

    def __init__(self, fixed: int | None = None) -> None:
        self.adapts = fixed is None
        self.limit = min(fixed or START, _most_connections())
        self.lag = 0.0  # s that the loop was late, in all
        self._ticks: list[float] = []
        self._usual = 0.0  # share of timeouts
        self._finished = self._timeouts = 0
        self._next = 0.0

    async def tick(self, *, saturated: bool) -> None:
        """Sleep for a tick and learn how late it ended; `saturated`: more could be in flight."""
        loop = asyncio.get_running_loop()
        self._next = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        late = max(loop.time() - self._next, 0.0)
        self.lag += late
        self._ticks.append(late)
        if len(self._ticks) == DECIDE_TICKS:
            if self.adapts:
                self._decide(sum(self._ticks) / DECIDE_TICKS, saturated)
            self._ticks.clear()

    def _decide(self, lag: float, saturated: bool) -> None:
        share = self._timeouts / max(self._finished, 1)
        # Hosts that hang do so at any number of requests; only what is unusual may be our doing.
        rising = self._finished >= DECIDE_TICKS and share > 2 * self._usual + RISE
        self._usual += USUAL_WEIGHT * (share - self._usual) if self._finished else 0.0
        self._finished = self._timeouts = 0
        if lag > HIGH_LAG_S or rising:
            self.limit = max(self.limit * 3 // 4, LEAST)
        elif lag < LOW_LAG_S and saturated:
            self.limit = min(self.limit * 11 // 10 + 1, MOST, _most_connections())

    def observe(self, outcome: Outcome) -> None:
        """Count a request's outcome."""
        self._finished += 1
        self._timeouts += outcome.reason is Reason.timeout

    def lag_since(self, lag: float, now: float) -> float:
        """Seconds of lag since it was `lag`, with what no tick has seen yet."""
        return self.lag - lag + max(now - self._next, 0.0)


def _most_connections() -> int:
    """What the process may open, with its limit raised as far as that goes without root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - SPARE_FILES, 1) if hard != resource.RLIM_INFINITY else 2**31
