"""What was asked of stage evaluate, with the rows of lake/generations that answer it."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spatialgen.evaluation.asked import ASKED
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import GENERATIONS, is_blob
from spatialgen.rows.engine import rounds
from spatialgen.rows.stage import RowStage

READ = [field.name for field in GENERATIONS.schema if not is_blob(field)]


def with_keys(stage: RowStage, asked: pa.Table) -> pa.Table:
    """The rows with their keys, which are generation ids."""
    return pa.concat_tables(rounds(stage, asked, max(1, asked.num_rows), ASKED.names))


@dataclass(frozen=True)
class Painted:
    """What was asked, as ASKED, and the row of lake/generations, without its picture; None where it
    failed."""

    asked: dict[str, Any]
    row: dict[str, Any] | None


def by_condition(lake: Lake, stage: RowStage, asked: pa.Table) -> dict[str, list[Painted]]:
    """All that was asked, with what became of it, by condition in row_id order."""
    table = lake["generations"].dataset().to_table(columns=READ)
    found = {row["generation_id"]: row for row in table.to_pylist()}
    painted: dict[str, list[Painted]] = {}
    for row in with_keys(stage, asked).to_pylist():
        painted.setdefault(row["condition"], []).append(Painted(row, found.get(row["key"])))
    return painted
