"""The rows that train, chosen in SQL and read from the Lance tables by position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialgen.errors import ParamsError, QueryError
from spatialgen.lake.keyed import KeyedRows
from spatialgen.lake.lake import Lake
from spatialgen.lake.sql import run_query
from spatialgen.training.order import digest_of

CHOSEN = """
with chosen as (
    select row_id
    from boxes join captions using (row_id) join splits using (row_id)
    where (
        {condition}
    )
)
select distinct row_id
from chosen join boxes using (row_id) join splits using (row_id)
where split = $split and len(objects) > 0
order by row_id
"""


@dataclass(frozen=True)
class TrainingRows:
    """Rows of several tables by row_id; `tables` are (path, columns) by name.

    Rows are read where they are asked for, so a worker process opens the tables itself.
    """

    row_ids: NDArray[np.int64]  # in ascending order
    tables: Mapping[str, tuple[str, Sequence[str]]]

    def __len__(self) -> int:
        return len(self.row_ids)

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the row ids."""
        return digest_of(self.row_ids)

    @cached_property
    def _readers(self) -> list[tuple[KeyedRows, Sequence[str]]]:
        return [(KeyedRows(path, "row_id"), columns) for path, columns in self.tables.values()]

    def read(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """The rows at these places of `row_ids`, as dicts of all columns."""
        wanted = self.row_ids[np.asarray(places, np.int64)].tolist()
        rows: list[dict[str, Any]] = [{"row_id": row_id} for row_id in wanted]
        for reader, columns in self._readers:
            for row, found in zip(rows, reader.take(wanted, columns), strict=True):
                row |= found
        return rows


def choose_rows(
    lake: Lake, param: str, condition: str, split: str, columns: Mapping[str, Sequence[str]]
) -> TrainingRows:
    """The rows of a split that have a box and satisfy `condition`, SQL over boxes, captions and
    splits, with these columns by table; `param` names the condition's param in errors. ParamsError
    where no row does, or the condition does not run.
    """
    try:
        (found,) = run_query(lake, CHOSEN.format(condition=condition), {"split": split})
    except (QueryError, ValueError) as error:
        raise ParamsError(f"{param} = {condition!r} is no condition: {error}") from None
    if not found.num_rows:
        raise ParamsError(f"no row of split {split} satisfies {param} = {condition!r}; widen it")
    tables = {name: (str(lake.path(name)), tuple(names)) for name, names in columns.items()}
    return TrainingRows(found["row_id"].to_numpy(), tables)
