"""How far a row stage is: a bar for who watches it, and a status file for every other shell."""

import glob
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from tqdm import tqdm

from spatialgen.lake.lake import Lake

if TYPE_CHECKING:
    from spatialgen.rows.runner import Result

REFRESH_SECONDS = 1.0  # of the status file
LOG_SECONDS = 30.0  # between lines where no terminal shows the bar
RUNNING, FINISHED, INTERRUPTED = "running", "finished", "interrupted"
FAILED, DIED, SILENT = "failed", "died", "silent"
SILENT_SECONDS = 900.0  # a slow window takes minutes
BAR = (
    "{desc} {percentage:3.0f}%|{bar}| {n_fmt} done, {left} left, {rate_fmt}, "
    "ETA {remaining}{postfix}"
)


@dataclass
class Status:
    """The state of one run of a row stage, as its status file has it."""

    stage: str  # or what the run is called
    host: str
    pid: int
    started: datetime  # UTC
    state: str = RUNNING
    total: int = 0  # rows to do in this run
    done: int = 0  # of these
    failed: int = 0  # of these, without an answer
    reused: int = 0  # rows answered before this run
    rows_per_s: float = 0.0  # since the first window began
    eta_s: float | None = None
    busy: dict[str, float] = field(default_factory=dict)  # by device: share of time computing
    device_rows: dict[str, int] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)  # the stage's own, latest

    @property
    def left(self) -> int:
        """Rows still to do."""
        return max(self.total - self.done, 0)

    def line(self) -> str:
        """For a log."""
        eta = "?" if self.eta_s is None else tqdm.format_interval(self.eta_s)
        return (
            f"{self.stage}: {self.done} done, {self.left} left, {self.rows_per_s:.1f} rows/s, "
            f"ETA {eta}, {self.failed} failed"
            + "".join(f", {name} {value}" for name, value in self.figures.items())
        )


STATUS = TypeAdapter(Status)


def status_folder(store_root: Path) -> Path:
    """Where the status files of a store are."""
    return store_root / "status"


class Progress:
    """Shows and writes down how far a run is; a context manager around it."""

    def __init__(
        self, lake: Lake, label: str, total: int, reused: int, *, quiet: bool = False
    ) -> None:
        host, pid = socket.gethostname(), os.getpid()
        started = datetime.now(UTC).replace(microsecond=0)
        self.status = Status(label, host, pid, started, total=total, reused=reused)
        self.questions = total
        self.path = status_folder(lake.store_root) / f"{label}@{host}@{pid}.json"
        self.bar = _Bar(
            total=total,
            desc=label,
            unit=" rows",
            bar_format=BAR,
            dynamic_ncols=True,
            disable=True if quiet else None,  # None: shown on a terminal alone
        )
        self.logs = not quiet and self.bar.disable  # no terminal: lines instead of a bar
        self._clock = time.perf_counter()
        self._first: float | None = None  # when the first window began: loading is over
        self._busy: dict[str, float] = {}
        self._written = self._logged = self._clock

    def __enter__(self) -> "Progress":
        self._forget_ended_runs()
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.status.state = INTERRUPTED if stopped else FAILED if kind else FINISHED
        self._write()
        self.bar.refresh()
        self.bar.close()
        if self.logs and self.questions:
            print(self.status.line(), file=sys.stderr)

    def advance(self, result: "Result", failed: int) -> None:
        """Count a computed window, of whose rows `failed` have no answer."""
        now, status, rows = time.perf_counter(), self.status, len(result.window)
        if self._first is None:
            self._first = now - result.seconds
        elapsed = max(now - self._first, 1e-9)
        status.done += rows
        status.failed += failed
        status.device_rows[result.device] = status.device_rows.get(result.device, 0) + rows
        self._busy[result.device] = self._busy.get(result.device, 0.0) + result.seconds
        status.busy = {name: min(round(b / elapsed, 3), 1.0) for name, b in self._busy.items()}
        status.rows_per_s = status.done / elapsed
        status.eta_s = status.left / status.rows_per_s
        status.figures = dict(result.figures)
        shown = {"failed": str(status.failed)} if status.failed else {}
        self.bar.set_postfix(shown | status.figures, refresh=False)
        self.bar.update(rows)
        if now - self._written >= REFRESH_SECONDS:
            self._write()
        if self.logs and now - self._logged >= LOG_SECONDS:
            self._logged = now
            print(status.line(), file=sys.stderr, flush=True)

    def expect(self, missing: int) -> None:
        """Correct how many rows are left, where a target decides it; never more than there are."""
        self.status.total = min(self.status.done + missing, self.questions)
        self.bar.total = self.status.total

    def _write(self) -> None:
        self._written = time.perf_counter()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(".tmp")
        scratch.write_bytes(STATUS.dump_json(self.status))
        scratch.replace(self.path)

    def _forget_ended_runs(self) -> None:
        for path in self.path.parent.glob(f"{glob.escape(self.status.stage)}@*.json"):
            status = read_status(path)
            if status is None or status.state != RUNNING:
                path.unlink(missing_ok=True)


class _Bar(tqdm):  # type: ignore[type-arg]  # it takes no [] at run time
    """A bar that also says how many rows are left."""

    @property
    def format_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = dict(super().format_dict)
        return shown | {"left": max((shown["total"] or 0) - shown["n"], 0)}


def read_status(path: Path) -> Status | None:
    """The status in a file; None where there is none.

    A running one is `died` if its process is gone, and `silent` if it runs on another host and has
    said nothing for long.
    """
    try:
        status = STATUS.validate_json(path.read_bytes())
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    if status.state == RUNNING and status.host == socket.gethostname():
        status.state = RUNNING if _is_alive(status.pid) else DIED
    elif status.state == RUNNING and age > SILENT_SECONDS:
        status.state = SILENT
    return status


def read_statuses(store_root: Path) -> list[Status]:
    """All runs that the store knows of, by start: the running ones, and the last of each stage."""
    found = map(read_status, status_folder(store_root).glob("*.json"))
    return sorted((status for status in found if status), key=lambda status: status.started)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
