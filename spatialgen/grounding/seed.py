"""Filling the store's memo from lake/boxes, after `dvc pull`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.grounding.pictures import View
from spatialgen.grounding.stage import ASKED, asked_rows
from spatialgen.lake.lake import Lake
from spatialgen.params import AnnotateParams
from spatialgen.rows.batcher import OK, OUTCOME
from spatialgen.rows.engine import memo_rows, rounds
from spatialgen.rows.stage import RowStage

ROUND_ROWS = 100_000


def seed_answers(lake: Lake, stage: RowStage, params: AnnotateParams) -> int:
    """Give the store the answers in lake/boxes, which must come from `stage`; how many are new.

    Failures are left out, for another machine may not have them, and so are the questions with
    planted names, which the table does not hold.
    """
    memo = lake.memo(stage.name, stage.schema)
    names = [*stage.schema.names, *(field.name for field in OUTCOME)]
    schema = pa.schema([*ASKED, *stage.schema, *OUTCOME])
    asked, added = asked_rows(lake, params), 0
    for batch in lake["boxes"].dataset().scanner(columns=["row_id", "raw"]).to_batches():
        raw = {row["row_id"]: row["raw"] for row in batch.to_pylist()}
        for view, table in asked.items():
            held = table.filter(pc.is_in(table["row_id"], value_set=batch["row_id"]))
            answered = pa.Table.from_pylist([*_answered(held, raw, view)], schema=schema)
            for part in rounds(stage, answered, ROUND_ROWS, names):
                new = memo.pending(part)
                if new.num_rows:
                    memo.append(memo_rows(memo, stage, new, new.select(names)))
                added += new.num_rows
    return added


def _answered(
    asked: pa.Table, raw: Mapping[int, Sequence[dict[str, Any]]], view: View
) -> Iterator[dict[str, Any]]:
    for row in asked.to_pylist():
        look = next((each for each in raw[row["row_id"]] if each["view"] == view), None)
        if look and row["question"] is not None:
            yield row | look | {"status": OK, "error": None}
