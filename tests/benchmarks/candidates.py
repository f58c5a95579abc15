"""The prefilter against a loop over the csv module and a bare DuckDB scan; memory by corpus size.

python -m tests.benchmarks.candidates
"""

import csv
import hashlib
import re
from pathlib import Path

import duckdb

from spatialgen.candidates import prefilter
from spatialgen.lake.lake import Lake
from spatialgen.params import CandidatesParams, ComputeParams, load_params
from tests.benchmarks.harness import (
    candidates_params,
    in_process,
    median,
    report,
    seconds,
    workspace,
    write_corpus,
)

ROWS = 2_000_000
SIZES = [500_000, 2_000_000, 8_000_000]
ROUNDS = 3
SCAN = """
import sys
from pathlib import Path
from spatialgen.candidates import prefilter
from spatialgen.lake.lake import Lake
from spatialgen.params import load_params
from tests.benchmarks.harness import candidates_params
lake = Lake(sys.argv[2] + "/lake", store=sys.argv[2] + "/.lake")
prefilter(lake, candidates_params(Path(sys.argv[1])), load_params().compute, progress=False)
"""


def python_loop(folder: Path, params: CandidatesParams) -> int:
    """What a script would do: DictReader, a regular expression, an md5 id, a set of ids."""
    pattern = re.compile("|".join(map(re.escape, params.keywords)))
    seen = set()
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                caption = row["caption"]
                if caption and pattern.search(caption):
                    text = f"{row['url']}\x1f{caption}".encode()
                    digest = hashlib.md5(text, usedforsecurity=False).digest()
                    seen.add(int.from_bytes(digest[8:], "little") - 2**63)
    return len(seen)


def bare_scan(folder: Path, params: CandidatesParams) -> None:
    """DuckDB's own CSV reader with the same regular expression, counting matches."""
    pattern = "|".join(map(re.escape, params.keywords))
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            select count(*) from read_csv('{folder}/*.csv', header = true, delim = ',',
                quote = '"', escape = '"', auto_detect = false, ignore_errors = true,
                columns = {{'url': 'VARCHAR', 'caption': 'VARCHAR'}})
            where regexp_matches(caption, ?)
            """,
            [pattern],
        ).fetchall()


def main() -> None:
    with workspace() as folder:
        write_corpus(folder, ROWS)
        params = candidates_params(folder / str(ROWS))
        compute: ComputeParams = load_params().compute
        ours, bare = [], []
        for number in range(ROUNDS):
            home = folder / f"run{number}"
            lake = Lake(home / "lake", store=home / ".lake")
            ours.append(seconds(lambda lake=lake: prefilter(lake, params, compute, progress=False)))
            bare.append(seconds(lambda: bare_scan(folder / str(ROWS), params)))
        loop = seconds(lambda: python_loop(folder / str(ROWS), params))
        peaks = {}
        for size in SIZES:
            if size != ROWS:
                write_corpus(folder, size)
            peaks[size] = in_process(SCAN, folder / str(size), folder / f"peak{size}")["peak_mb"]
    faster, slower = loop / median(ours), median(ours) / median(bare)
    growth = peaks[SIZES[-1]] / peaks[SIZES[0]]
    report(
        "candidates",
        {
            "rows": ROWS,
            "seconds": median(ours),
            "python_loop_over_ours": faster,
            "ours_over_bare_scan": slower,
            "peak_mb": {size: round(peak) for size, peak in peaks.items()},
        },
        {
            "python_loop_over_ours >= 4": faster >= 4,
            "ours_over_bare_scan <= 3.5": slower <= 3.5,
            "peak_mb <= 1500": max(peaks.values()) <= 1500,
            "peak flat (8 M <= 1.5 x 0.5 M)": growth <= 1.5,
        },
    )


if __name__ == "__main__":
    main()
