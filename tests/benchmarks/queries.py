"""Every shipped query over a lake of 5 M captions, the command line's start, the package's import.

python -m tests.benchmarks.queries [NAME ...]      # some of the queries; 5 GB of disk
"""

import shutil
import sys
from pathlib import Path

from tests.benchmarks.harness import in_process, report, workspace
from tests.benchmarks.large_lake import make_lake

ROWS = 5_000_000
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
from spatialgen.cli.app import app
from spatialgen.project import run
assert run(lambda: app(["sql", "select caption from candidates limit 1"])) == 0
"""
IMPORT = "import spatialgen, sys; assert 'torch' not in sys.modules"


def main() -> None:
    with workspace() as folder:
        lake = make_lake(folder, ROWS)
        tables = {name: lake[name].count_rows() for name in lake.tables()}
        shutil.copy("dvc.yaml", folder)
        queries = {
            path.stem: in_process(QUERY, folder, path)  # opening the tables included
            for path in sorted(Path("queries").glob("*.sql"))
            if path.stem in sys.argv[1:] or not sys.argv[1:]
        }
        first_row = in_process(COMMAND_LINE, folder)["s"]
        imported = min(in_process(IMPORT)["cpu_s"] for _ in range(3))
        baseline = min(in_process("pass")["cpu_s"] for _ in range(3))
    slowest = max(figures["printed"] for figures in queries.values())
    peak = max(figures["peak_mb"] for figures in queries.values())
    report(
        "queries",
        {
            "rows": tables,
            "seconds": {name: round(figures["printed"], 2) for name, figures in queries.items()},
            "cpu_s": {name: round(figures["cpu_s"], 2) for name, figures in queries.items()},
            "peak_mb": {name: round(figures["peak_mb"]) for name, figures in queries.items()},
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
