"""Filling a memo of answers that are parts alone, from their published table, after `dvc pull`."""

import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import TableSpec
from spatialgen.rows.batcher import OK, OUTCOME
from spatialgen.rows.engine import memo_rows, rounds
from spatialgen.rows.stage import RowStage

ROUND_ROWS = 100_000


def seed_parts(lake: Lake, spec: TableSpec, stage: RowStage, asked: pa.Table) -> int:
    """Let the store know that the questions in `asked` are answered whose row the table holds; how
    many of them are new. The store must hold these rows already; see upkeep.seed_store."""
    memo, added = lake.memo(stage.name, stage.schema), 0
    (key,) = spec.key
    held = lake[spec.name].dataset().to_table(columns=[key])[key]
    for part in rounds(stage, asked, ROUND_ROWS):
        new = memo.pending(part.filter(pc.is_in(part["key"], value_set=held)))
        answers = {"status": pa.repeat(OK, new.num_rows), "error": pa.nulls(new.num_rows)}
        if new.num_rows:
            memo.append(memo_rows(memo, stage, new, pa.table(answers, schema=pa.schema(OUTCOME))))
        added += new.num_rows
    return added
