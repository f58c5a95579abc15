"""`spatialgen diff` of two committed versions of 1 M captions: rows added, removed, changed.

python -m tests.benchmarks.diff
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CAPTIONS
from tests.benchmarks.harness import in_process, report, workspace

ROWS, BATCH = 1_000_000, 100_000
ADDED = 10_000
DIFF = """
import sys
from spatialgen.lake.diff import diff
from spatialgen.lake.history import Revision
from spatialgen.lake.lake import Lake
lake = Lake(sys.argv[1] + "/lake", store=sys.argv[1] + "/.lake")
found = diff(Revision(lake, "HEAD~1"), Revision(lake, "HEAD")).to_pylist()
assert [found[0][name] for name in ("added", "removed", "changed")] == [10_000, 10_000, 99_000]
"""


def captions(first: int, judge: str) -> Iterator[pa.RecordBatch]:
    """Rows `first` to first + ROWS; one in ten of them is of this judge."""
    for start in range(first, first + ROWS, BATCH):
        ids = np.arange(start, start + BATCH)
        columns = {
            "row_id": pa.array(ids),
            "url": [f"http://gimg2.sample.test/image_search/src=http%3A%2F%2Fa%2F{n}" for n in ids],
            "caption": [f"左边是猫，右边是狗，图片{n}高清大图免费下载" for n in ids],
            "spatial_type": ["strong"] * BATCH,
            **{f"p_{name}": pa.array(ids % 100 / 100, pa.float32()) for name in ("strong", "weak")},
            "p_none": pa.array(np.zeros(BATCH), pa.float32()),
            "tier": [judge if n % 10 == 0 else "judge" for n in ids],
            "error": pa.nulls(BATCH, pa.string()),
        }
        arrays = [pa.array(columns[field.name], field.type) for field in CAPTIONS.schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=CAPTIONS.schema)


def commit(folder: Path) -> None:
    """Commit the manifests."""
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    subprocess.run(["git", "add", "lake/captions.json"], cwd=folder, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "rows"], cwd=folder, check=True)


def main() -> None:
    with workspace() as folder:
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        lake = Lake(folder / "lake", store=folder / ".lake")
        for first, judge in ((0, "judge"), (ADDED, "another")):
            lake.publish(CAPTIONS, captions(first, judge))
            commit(folder)
        figures = in_process(DIFF, folder)
    report(
        "diff",
        {"rows": ROWS, "seconds": figures["s"], "peak_mb": figures["peak_mb"]},
        {"diff of 1 M rows <= 10 s": figures["s"] <= 10},
    )


if __name__ == "__main__":
    main()
