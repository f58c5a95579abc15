"""Where things are: the project, its store, and how a stage ends."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from spatialgen.errors import LakeError, explain

INTERRUPTED = 130  # 128 + SIGINT: what a shell reports after Ctrl-C
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: here) that holds dvc.yaml."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise LakeError(f"{here} is in no spatialgen project (no dvc.yaml above it): cd into one")


def store_root(root: Path | None = None) -> Path:
    """The store's folder: $SPATIALGEN_STORE, else .lake in the project.

    DVC sets $DVC_ROOT to the main checkout even when an experiment runs in a temporary copy, so
    every experiment shares one store.
    """
    if chosen := os.environ.get("SPATIALGEN_STORE"):
        folder = Path(chosen).expanduser()
        if not folder.is_absolute():
            raise LakeError(
                f"SPATIALGEN_STORE={chosen} is relative, and experiments run in other folders: "
                "give it an absolute path"
            )
        if folder.exists() and not folder.is_dir():
            raise LakeError(f"SPATIALGEN_STORE={chosen} is a file: give it a folder")
        return folder
    return Path(os.environ.get("DVC_ROOT") or root or find_root()) / ".lake"


def guard(main: Callable[[], None]) -> None:
    """Run `main`, and end the process as a command line tool should; see `run`.

    The interpreter is left at once: threads of Arrow and DuckDB may still run and abort an ordinary
    exit, and DuckDB's bindings report every object that is still alive then.
    """
    code = run(main)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(main: Callable[[], None]) -> int:
    """Run `main`; the exit code.

    A mendable error is one sentence on stderr and 1; Ctrl-C and SIGTERM are 130; anything else is
    a defect, and keeps its traceback.
    """
    stopped = []

    def stop(signal_number: int, _: FrameType | None) -> None:
        stopped.append(signal_number)
        raise KeyboardInterrupt

    before = [signal.signal(number, stop) for number in STOP_SIGNALS]
    try:
        main()
    except BaseException as error:
        # The libraries between wrap an interruption in errors of their own, so the flag decides.
        if stopped or isinstance(error, KeyboardInterrupt):
            print("interrupted: everything committed so far is kept", file=sys.stderr)
            return INTERRUPTED
        if isinstance(error, SystemExit) and isinstance(error.code, int):
            return error.code  # how argument parsers end
        if (known := explain(error)) is None:
            raise
        print(f"error: {known}", file=sys.stderr)
        return 1
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)
    return 0


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM until the block is done (elsewhere than in the main thread,
    where Python hears no signals, there is nothing to hold back).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = [
        signal.signal(number, lambda number, _: held.append(number)) for number in STOP_SIGNALS
    ]
    try:
        yield
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
