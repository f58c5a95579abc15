"""What the row engine costs: its share of a run at 0.2 s per batch, and a run with nothing to do.

python -m tests.benchmarks.rows
"""

import time
from functools import partial
from pathlib import Path

import pyarrow as pa

from spatialgen.lake.ids import h64_sql
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from spatialgen.rows.stage import BatchFunction, RowStage
from tests.benchmarks.harness import in_process, report, seconds, workspace

BATCH_ROWS, BATCHES, BATCH_SECONDS = 128, 160, 0.2
STORED = 10_000_000
SCHEMA = pa.schema([pa.field("length", pa.int64(), nullable=True)])
NOTHING = """
import sys
from pathlib import Path
import lance
from spatialgen.lake.lake import Lake
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from tests.benchmarks.rows import STORED, stage_of
folder = Path(sys.argv[1])
lake = Lake(folder / "lake", store=folder / ".lake")
counts = answer_rows(lake, stage_of(0), lance.dataset(str(folder / "rows.lance")), Inline())
assert (counts.asked, counts.reused) == (STORED, STORED), counts
"""
MORE = (
    NOTHING.replace("from pathlib", "import pyarrow as pa\nfrom pathlib")
    .replace(
        'lance.dataset(str(folder / "rows.lance"))',
        "pa.table({'row_id': [1], 'caption': ['one more']})",
    )
    .replace("(STORED, STORED)", "(1, 0)")
)


def _open(wait: float, device: str) -> BatchFunction:
    def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
        time.sleep(wait)
        lengths = pa.array([len(text) for text in batch["caption"].to_pylist()], pa.int64())
        return pa.record_batch([lengths], schema=SCHEMA)

    return answer


def stage_of(wait: float) -> RowStage:
    """A stage that takes `wait` seconds per batch, whatever is in it."""
    return RowStage("demo", "fp", ("caption",), SCHEMA, partial(_open, wait), batch_rows=BATCH_ROWS)


def numbered(connection: object, rows: int) -> str:
    """SQL for `rows` distinct candidates."""
    return f"""
        select {h64_sql("'u' || i", "'caption ' || i")} as row_id, 'u' || i as url,
               'caption 图片左边有一只猫 ' || i as caption
        from range({rows}) as t(i)"""


def overhead(folder: Path) -> float:
    """Wall time over the time that the batches themselves take, less 1."""
    from spatialgen.lake import duck

    connection = duck.connect()
    rows = connection.sql(f"{numbered(connection, BATCHES * BATCH_ROWS)} order by row_id")
    table = rows.to_arrow_table()
    connection.close()
    lake = Lake(folder / "lake", store=folder / ".lake")
    stage = stage_of(BATCH_SECONDS)
    spent = seconds(lambda: answer_rows(lake, stage, table, Inline(), quiet=True))
    return spent / (BATCHES * BATCH_SECONDS) - 1


def store_answers(folder: Path) -> None:
    """`rows.lance`, and an answer to each of its rows in the store."""
    import lance

    from spatialgen.lake import duck

    lake = Lake(folder / "lake", store=folder / ".lake")
    stage = stage_of(0)
    memo = lake.memo(stage.name, stage.schema)
    connection = duck.connect(spill=folder)
    connection.execute(f"create table numbered as {numbered(connection, STORED)}")
    reader = connection.sql("from numbered").to_arrow_reader(500_000)
    lance.write_dataset(reader, str(folder / "rows.lance"), schema=CANDIDATES.schema)
    answers = connection.sql(
        f"""select {h64_sql("'fp'", "caption")} as key, row_id, 'fp' as fp, 1::int as attempt,
                   'ok' as status, null::varchar as error, now() as committed,
                   length(caption) as length
            from numbered"""
    ).to_arrow_reader(1_000_000)
    for batch in answers:
        memo.append(pa.Table.from_batches([batch]).select(memo.schema.names).cast(memo.schema))
    connection.close()


def main() -> None:
    with workspace() as folder:
        share = overhead(folder / "overhead")
        (folder / "stored").mkdir()
        store_answers(folder / "stored")
        nothing = in_process(NOTHING, folder / "stored")
        more = in_process(MORE, folder / "stored")
    report(
        "rows",
        {
            "overhead_at_0.2_s": share,
            "stored_keys": STORED,
            "nothing_to_do_s": nothing["s"],
            "one_row_more_s": more["s"],
            "peak_mb": max(nothing["peak_mb"], more["peak_mb"]),
        },
        {"overhead <= 3 %": share <= 0.03, "nothing to do <= 20 s": nothing["s"] <= 20},
    )


if __name__ == "__main__":
    main()
