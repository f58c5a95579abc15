"""The rows that train, chosen in SQL and read from the Lance tables by position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spatialgen.errors import LakeError, ParamsError, QueryError
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
    """Rows of several tables that are sorted by row_id; `tables` are (path, columns) by name.

    Rows are read where they are asked for, so a worker process opens the tables itself.
    """

    row_ids: NDArray[np.int64]  # in ascending order
    tables: Mapping[str, tuple[str, Sequence[str]]]
    _open: dict[str, tuple[lance.LanceDataset, NDArray[np.int64]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __len__(self) -> int:
        return len(self.row_ids)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open: Lance's handles do not survive a process."""
        return {**self.__dict__, "_open": {}}

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the row ids."""
        return digest_of(self.row_ids)

    def read(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """The rows at these places of `row_ids`, as dicts of all columns."""
        wanted = self.row_ids[np.asarray(places, np.int64)]
        rows: list[dict[str, Any]] = [{"row_id": int(row_id)} for row_id in wanted]
        for name in self.tables:
            for row, found in zip(rows, self._take(name, wanted).to_pylist(), strict=True):
                row |= found
        return rows

    def _take(self, name: str, wanted: NDArray[np.int64]) -> pa.Table:
        path, columns = self.tables[name]
        if name not in self._open:
            dataset = lance.dataset(path)
            self._open[name] = dataset, dataset.to_table(columns=["row_id"])["row_id"].to_numpy()
        dataset, row_ids = self._open[name]
        places = np.searchsorted(row_ids, wanted)
        if not np.array_equal(row_ids[np.minimum(places, len(row_ids) - 1)], wanted):
            raise LakeError(f"{path} lacks rows that train; run dvc checkout, or dvc repro")
        return dataset.take(places.tolist(), columns=[*columns])


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
