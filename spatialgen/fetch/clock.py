"""Deadlines that count the server's time and not ours.

On a starved machine (or a suspended one) answers lie unread in the sockets while timers run out,
and a timeout says nothing about the server. So deadlines run on a clock that stands still while the
event loop is late.
"""

import asyncio
import math

TICK_S = 0.05


class PatientClock:
    """The event loop's time without the stretches in which the loop was late."""

    def __init__(self) -> None:
        self.late_s = 0.0  # in all
        self._due = math.inf  # of the tick that runs

    async def tick(self) -> None:
        """Sleep for TICK_S, and learn how late that ended."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        self.late_s += max(loop.time() - self._due, 0.0)
        self._due = math.inf

    def now(self) -> float:
        """Seconds; it never goes back."""
        return min(asyncio.get_running_loop().time(), self._due) - self.late_s


class Deadline:
    """Ends a task when all of it, or its present step, has taken too long."""

    def __init__(self, clock: PatientClock, total_s: float) -> None:
        self.clock = clock
        self.expired: str | None = None  # what took too long
        self.connecting = False  # the present step
        self.forbidden = self.permitted = 0  # addresses tried for the present connection
        self._task = asyncio.current_task()
        self._total_s = total_s
        self._ends = clock.now() + total_s
        self._step, self._step_s, self._step_ends = "", 0.0, math.inf

    def step(self, name: str, seconds: float, *, connecting: bool = False) -> None:
        """A step begins that may take so long."""
        self.connecting = connecting
        self._step, self._step_s, self._step_ends = name, seconds, self.clock.now() + seconds

    def pause(self) -> tuple[float, float]:
        """We keep the server waiting, until `resume` with what this returns."""
        now = self.clock.now()
        left = self._ends - now, self._step_ends - now
        self._ends = self._step_ends = math.inf
        return left

    def resume(self, left: tuple[float, float]) -> None:
        """Go on with so much time left, in all and for the step."""
        now = self.clock.now()
        self._ends, self._step_ends = now + left[0], now + left[1]

    def check(self, now: float) -> None:
        """Cancel the task if it is late."""
        if self.expired is None and now > min(self._ends, self._step_ends):
            in_all = f"{self._total_s:g} s in all"
            late = now > self._ends
            self.expired = in_all if late else f"{self._step_s:g} s {self._step}"
            if self._task is not None:
                self._task.cancel()

    def caught(self) -> bool:
        """Whether a CancelledError is this deadline's doing; it is dealt with then."""
        if self.expired is None or self._task is None:
            return False
        return self._task.uncancel() == 0
