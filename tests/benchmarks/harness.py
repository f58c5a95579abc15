"""What the benchmarks share: timing, peak memory, a large corpus, and the verdict."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spatialgen.params import CandidatesParams, SampleParams, load_params
from spatialgen.sample.shards import Row, write_web
from spatialgen.sample.urls import HOST
from spatialgen.sample.world.captions import make_web_situation
from spatialgen.sample.world.view import seeded

BASE_ROWS = 250_000  # drawn from the grammar; larger corpora repeat them on other hosts

PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@contextmanager
def workspace() -> Iterator[Path]:
    """A scratch folder, on $SPATIALGEN_BENCH's disk where that is set."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("SPATIALGEN_BENCH")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def caption_row(index: int) -> Row:
    """A row without a picture."""
    situation = make_web_situation(seeded("corpus", 1, index), 0.05)
    fields = {"caption": situation.caption, "spatial_type": situation.spatial_type}
    return {**fields, "objects": [], "relations": []}, b""


def write_corpus(folder: Path, rows: int) -> None:
    """Wukong-shaped shards with `rows` rows, all of them distinct but for 1 % duplicates."""
    if not (folder / "base").exists():
        sample = SampleParams(
            seed=1,
            rows=BASE_ROWS,
            shards=1,
            spatial_share=0.05,
            core_share=0.0,
            damaged_share=0.0002,
        )
        write_web(sample, folder / "base", (caption_row(i) for i in range(BASE_ROWS)))
    base = (folder / "base" / "csv" / "wukong_100m_0.csv").read_bytes()
    target = folder / f"{rows}"
    target.mkdir()
    for shard in range(rows // BASE_ROWS):
        host = f"gimg{shard:02d}.sample.test".encode()
        data = base.replace(HOST.encode(), host)
        (target / f"wukong_100m_{shard}.csv").write_bytes(data)


def candidates_params(source: Path) -> CandidatesParams:
    """The shipped params over another source."""
    shipped = load_params().candidates
    return shipped.model_copy(update={"csv": str(source), "pattern": "*.csv"})


def seconds(function: Callable[[], Any]) -> float:
    """Wall time of one call, s."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median(values: list[float]) -> float:
    """The middle value."""
    return sorted(values)[len(values) // 2]


def in_process(code: str, *arguments: object) -> dict[str, float]:
    """Run `code` in a new Python: wall and CPU seconds, peak memory in MB, the number it printed.

    The process reads its own VmHWM: the ru_maxrss of a child begins at its parent's.
    """
    start = time.perf_counter()
    command = [sys.executable, "-c", code + PEAK, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, code
    *printed, peak_kb = output.split()
    return {
        "printed": float(printed[-1]) if printed and printed[-1].replace(".", "").isdigit() else 0,
        "s": time.perf_counter() - start,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": int(peak_kb) / 1024,
    }


def report(name: str, figures: dict[str, Any], bars: dict[str, bool]) -> None:
    """Print one line of JSON; exit with 1 where a bar is missed."""
    missed = [bar for bar, reached in bars.items() if not reached]
    shown = {key: round(v, 3) if isinstance(v, float) else v for key, v in figures.items()}
    line = {"benchmark": name, **shown, "missed": missed}
    print(json.dumps(line, ensure_ascii=False), flush=True)
    sys.exit(1 if missed else 0)
