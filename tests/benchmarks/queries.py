"""Every shipped query over 5 M-row tables, the command line's start, and the package's import.

python -m tests.benchmarks.queries
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES, REJECTS
from spatialgen.metrics import write_metrics
from spatialgen.records import Reason
from tests.benchmarks.harness import in_process, report, workspace

ROWS = 5_000_000
BATCH = 100_000
QUERY = """
import sys, time
from spatialgen.lake.lake import Lake
from spatialgen.lake.sql import run_query
lake = Lake(sys.argv[1] + "/lake", store=sys.argv[1] + "/.lake")
start = time.perf_counter()
list(run_query(lake, open(sys.argv[2]).read(), {}))
print(time.perf_counter() - start)
"""
COMMAND_LINE = """
import os, sys
os.chdir(sys.argv[1])
sys.argv = ["spatialgen", "sql", "select caption from candidates limit 1"]
from spatialgen.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
"""
IMPORT = "import spatialgen, sys; assert 'torch' not in sys.modules"


def candidates() -> Iterator[pa.RecordBatch]:
    """Rows in row_id order with captions of Wukong's length, one in ten repeated."""
    words = ["左边是猫", "手机上市", "草地上的狗", "免费下载", "桌子旁边", "中国制造", "山里的人"]
    for start in range(0, ROWS, BATCH):
        ids = range(start, start + BATCH)
        captions = [f"{words[n % 7]}，图片{n // 10 if n % 10 < 2 else n}高清大图" for n in ids]
        urls = [f"http://gimg2.sample.test/image_search/src=http%3A%2F%2Fa%2F{n}.jpg" for n in ids]
        yield pa.record_batch([list(ids), urls, captions], names=["row_id", "url", "caption"])


def rejects() -> Iterator[pa.RecordBatch]:
    """As many damaged records."""
    names = [reason.name for reason in Reason]
    for start in range(0, ROWS, BATCH):
        lines = list(range(start, start + BATCH))
        reasons = [names[line % len(names)] for line in lines]
        raws = [f'"http://gimg2.sample.test/{line}","草地上的狗' for line in lines]
        yield pa.record_batch(
            [["wukong_100m_0.csv"] * BATCH, lines, reasons, raws],
            names=["file", "line", "reason", "raw"],
        )


def main() -> None:
    with workspace() as folder:
        lake = Lake(folder / "lake", store=folder / ".lake")
        lake.publish(CANDIDATES, candidates())
        lake.publish(REJECTS, rejects())
        counts = ["records", "rejected", "unmatched", "duplicates", "candidates"]
        write_metrics("candidates", dict.fromkeys(counts, ROWS), folder / "metrics")
        shutil.copy("dvc.yaml", folder)
        queries = {
            path.stem: in_process(QUERY, folder, path)  # opening the tables included
            for path in sorted(Path("queries").glob("*.sql"))
        }
        first_row = in_process(COMMAND_LINE, folder)["s"]
        imported = min(in_process(IMPORT)["cpu_s"] for _ in range(3))
        baseline = min(in_process("pass")["cpu_s"] for _ in range(3))
    slowest = max(figures["printed"] for figures in queries.values())
    peak = max(figures["peak_mb"] for figures in queries.values())
    report(
        "queries",
        {
            "rows": ROWS,
            "seconds": {name: round(figures["printed"], 2) for name, figures in queries.items()},
            "peak_mb": peak,
            "sql_first_row_s": first_row,
            "import_cpu_s": imported,
            "python_itself_cpu_s": baseline,
        },
        {
            "each query <= 4 s": slowest <= 4,
            "peak_mb <= 1500": peak <= 1500,
            "spatialgen sql to first row <= 2 s": first_row <= 2,
            "import spatialgen <= 0.5 s CPU": imported <= 0.5,
        },
    )


if __name__ == "__main__":
    main()
