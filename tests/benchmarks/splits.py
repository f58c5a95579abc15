"""Splitting 1 M rows, a tenth of whose captions and a twentieth of whose pictures repeat.

python -m tests.benchmarks.splits
"""

from tests.benchmarks.harness import in_process, report, workspace

ROWS = 1_000_000
SPLIT = """
import sys
from pathlib import Path
from spatialgen.lake import duck
from spatialgen.params import SplitParams
from spatialgen.splits import split_rows
connection = duck.connect(spill=Path(sys.argv[1]))
connection.execute(f'''
    create table row as
    select (hash(n) >> 1)::bigint as row_id,
           '左边是一只猫，右边是一只狗，图片' || if(n % 10 = 0, n % 50000, n) as caption,
           if(n % 20 = 1, n % 30000, n)::varchar as picture
    from range({sys.argv[2]}) as rows(n)
''')
split_rows(connection, SplitParams(val=0.05, test=0.1, salt="s", max_group=100))
((rows, groups),) = connection.execute(
    "select count(*), count(distinct group_id) from split_row"
).fetchall()
assert rows == int(sys.argv[2]) and groups < rows
connection.close()
"""


def main() -> None:
    with workspace() as folder:
        figures = in_process(SPLIT, folder, ROWS)
    report(
        "splits",
        {"rows": ROWS, "seconds": figures["s"], "peak_mb": figures["peak_mb"]},
        {"1 M rows <= 30 s": figures["s"] <= 30},
    )


if __name__ == "__main__":
    main()
