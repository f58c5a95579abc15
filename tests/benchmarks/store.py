"""What is left to do when 10 M of 10.1 M keys are answered: the anti-join of every resumed stage.

python -m tests.benchmarks.store
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from spatialgen.lake.store import Memo
from tests.benchmarks.harness import in_process, report, workspace

STORED, NEW = 10_000_000, 100_000
RESULT = pa.schema([("label", pa.string())])
BATCH = 1_000_000
PENDING = """
import sys
from pathlib import Path
import lance
from spatialgen.lake import duck
from spatialgen.lake.store import Memo
from tests.benchmarks.store import NEW, RESULT
memo = Memo(Path(sys.argv[1]) / "store.lance", RESULT)
connection = duck.connect(spill=Path(sys.argv[1]))
connection.register("wanted", lance.dataset(sys.argv[1] + "/wanted.lance"))
query = f"select count(*) from ({memo.unanswered(connection)})"
assert connection.execute(query).fetchall() == [(NEW,)]
connection.close()
"""
LOOK_UP = """
import sys
from pathlib import Path
import lance
from spatialgen.lake.store import Memo
from tests.benchmarks.store import RESULT
memo = Memo(Path(sys.argv[1]) / "store.lance", RESULT)
wanted = lance.dataset(sys.argv[1] + "/known.lance").to_table(limit=500_000)
assert memo.answers(wanted["key"]).num_rows == 500_000
assert memo.pending(wanted).num_rows == 0
memo.compact()
"""
NOTHING = PENDING.replace("[(NEW,)]", "[(0,)]").replace("wanted.lance", "known.lance")


def keys(start: int, count: int) -> pa.Array:
    """Distinct keys spread over all of int64, as hashes are."""
    numbers = np.arange(start, start + count, dtype=np.uint64)
    return pa.array((numbers * np.uint64(0x9E3779B97F4A7C15)).view(np.int64))


def main() -> None:
    import lance

    with workspace() as folder:
        memo = Memo(Path(folder) / "store.lance", RESULT)
        for start in range(0, STORED, BATCH):
            columns = {
                "key": keys(start, BATCH),
                "row_id": keys(start, BATCH),
                "fp": pa.array(["0123456789abcdef"] * BATCH),
                "attempt": pa.array(np.ones(BATCH, np.int32)),
                "status": pa.array(["ok"] * BATCH),
                "error": pa.nulls(BATCH, pa.string()),
                "committed": pa.array(np.zeros(BATCH, "datetime64[us]"), pa.timestamp("us", "UTC")),
                "label": pa.array(["strong"] * BATCH),
            }
            memo.append(pa.table(columns).cast(memo.schema))
        for name, count in [("wanted", STORED + NEW), ("known", STORED)]:
            wanted = pa.table({"key": keys(0, count), "row_id": keys(0, count)})
            lance.write_dataset(wanted, str(folder / f"{name}.lance"))
        some, none = in_process(PENDING, folder), in_process(NOTHING, folder)
        look_up = in_process(LOOK_UP, folder)
    peak = max(some["peak_mb"], none["peak_mb"], look_up["peak_mb"])
    report(
        "store",
        {
            "stored_keys": STORED,
            "seconds": some["s"],
            "nothing_to_do": none["s"],
            "look_up_500k_and_compact_s": look_up["s"],
            "peak_mb": peak,
        },
        {
            "anti-join <= 15 s": some["s"] <= 15 and none["s"] <= 15,
            "peak_mb <= 1500": peak <= 1500,
        },
    )


if __name__ == "__main__":
    main()
