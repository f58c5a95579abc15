"""The prefilter against a loop over the csv module and a bare DuckDB scan; memory by corpus size.

All three yield the matching rows; ours and the loop with their ids, sorted and without duplicates.

python -m tests.benchmarks.candidates
"""

import csv
import hashlib
import re
import tempfile
from pathlib import Path

import duckdb

from spatialgen.candidates import Scan, match, prefilter
from spatialgen.lake.lake import Lake
from spatialgen.lake.publish import unique_rows
from spatialgen.lake.schemas import CANDIDATES
from spatialgen.params import CandidatesParams, load_params
from spatialgen.wukong import find_shards
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
ROUNDS = 5
SCAN = """
import sys
from pathlib import Path
from spatialgen.candidates import prefilter
from spatialgen.lake.lake import Lake
from spatialgen.params import load_params
from tests.benchmarks.harness import candidates_params
lake = Lake(sys.argv[2] + "/lake", store=sys.argv[2] + "/.lake")
prefilter(lake, candidates_params(Path(sys.argv[1])), load_params().compute, quiet=True)
"""


def our_rows(folder: Path, params: CandidatesParams) -> int:
    """The scan as the stage does it, without publishing."""
    compute = load_params().compute
    shards = find_shards(folder, "*.csv")
    with tempfile.TemporaryDirectory() as aside:
        scans = [Scan(shards[n::2], Path(aside) / f"{n}.arrow") for n in range(2)]
        with match(scans, params.keywords, compute, spill=Path(aside)) as rows:
            return sum(batch.num_rows for batch in unique_rows(CANDIDATES, rows))


def python_loop(folder: Path, params: CandidatesParams) -> int:
    """What a script would do: DictReader, a regular expression, md5 ids, a dict, a sort."""
    pattern = re.compile("|".join(map(re.escape, params.keywords)))
    rows = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                url, caption = row["url"], row["caption"]
                if url and caption and pattern.search(caption):
                    text = f"{url}\x1f{caption}".encode()
                    digest = hashlib.md5(text, usedforsecurity=False).digest()
                    rows[int.from_bytes(digest[8:], "little") - 2**63] = (url, caption)
    return len([rows[row_id] for row_id in sorted(rows)])


def bare_scan(folder: Path, params: CandidatesParams) -> int:
    """DuckDB's own CSV reader with the same regular expression: matching rows, as they come."""
    pattern = "|".join(map(re.escape, params.keywords))
    with duckdb.connect() as connection:
        rows = connection.sql(
            f"""
            select url, caption from read_csv('{folder}/*.csv', header = true, delim = ',',
                quote = '"', escape = '"', auto_detect = false, ignore_errors = true,
                columns = {{'url': 'VARCHAR', 'caption': 'VARCHAR'}})
            where regexp_matches(caption, '{pattern}')
            """
        )
        return sum(batch.num_rows for batch in rows.to_arrow_reader(65_536))


def main() -> None:
    with workspace() as folder:
        write_corpus(folder, ROWS)
        corpus = folder / str(ROWS)
        params = candidates_params(corpus)
        ours, bare, loop = [], [], []
        for _ in range(ROUNDS):  # in turn, so that the machine's moods meet all three
            ours.append(seconds(lambda: our_rows(corpus, params)))
            bare.append(seconds(lambda: bare_scan(corpus, params)))
            loop.append(seconds(lambda: python_loop(corpus, params)))
        lake = Lake(folder / "lake", store=folder / ".lake")
        compute = load_params().compute
        stage = seconds(lambda: prefilter(lake, params, compute, quiet=True))
        rows = lake["candidates"].count_rows()
        peaks = {}
        for size in SIZES:
            if size != ROWS:
                write_corpus(folder, size)
            peaks[size] = in_process(SCAN, folder / str(size), folder / f"peak{size}")["peak_mb"]
    faster, slower = median(loop) / median(ours), median(ours) / median(bare)
    growth = peaks[SIZES[-1]] / peaks[SIZES[0]]
    report(
        "candidates",
        {
            "records": ROWS,
            "candidates": rows,
            "seconds": median(ours),
            "stage_seconds": stage,
            "python_loop_over_ours": faster,
            "ours_over_bare_scan": slower,
            "peak_mb": {size: round(peak) for size, peak in peaks.items()},
            "peak_8m_over_0.5m": growth,
        },
        {
            "python_loop_over_ours >= 4": faster >= 4,
            "ours_over_bare_scan <= 3.5": slower <= 3.5,
            "peak_mb <= 1500": max(peaks.values()) <= 1500,
            "peak_8m_over_0.5m <= 1.5": growth <= 1.5,
        },
    )


if __name__ == "__main__":
    main()
