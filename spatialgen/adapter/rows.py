"""The rows that train an adapter, with the buckets of their pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialgen.encode.tables import Latents, Prompts
from spatialgen.errors import ParamsError
from spatialgen.lake.lake import Lake
from spatialgen.lake.sql import run_query
from spatialgen.params import TrainAdapterParams
from spatialgen.training.order import digest_of, mix
from spatialgen.training.rows import TrainingRows, choose_rows

COLUMNS = {"captions": ["caption"], "boxes": ["sha256", "objects"]}
ALL = "select row_id from boxes join splits using (row_id) where split = $split order by row_id"


@dataclass(frozen=True)
class AdapterRows:
    """Rows of a split: those that satisfy train_adapter.where, and others as pictures without
    boxes. Only rows of one bucket share a batch."""

    rows: TrainingRows
    unboxed: NDArray[np.int64] = field(repr=False)  # of the row ids, in ascending order
    groups: NDArray[np.int64] = field(repr=False)  # bucket of each row

    @property
    def row_ids(self) -> NDArray[np.int64]:
        """In ascending order."""
        return self.rows.row_ids

    @cached_property
    def digest(self) -> str:
        """16 hex digits over the row ids, and over those without boxes where there are some."""
        if not len(self.unboxed):
            return self.rows.digest
        return digest_of(np.concatenate([self.row_ids, self.unboxed]))

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """The rows at these places of `row_ids`; `boxed` says whether their boxes count."""
        rows = self.rows.read(places)
        unboxed = np.isin(self.row_ids[np.asarray(places, np.int64)], self.unboxed)
        return [row | {"boxed": not each} for row, each in zip(rows, unboxed, strict=True)]


def adapter_rows(lake: Lake, params: TrainAdapterParams, split: str, share: float) -> AdapterRows:
    """The rows of a split whose picture and words are encoded; `share` of them as pictures without
    boxes, drawn from the rows that train_adapter.where leaves. ParamsError where there are none."""
    boxed = choose_rows(lake, "train_adapter.where", params.where, split, COLUMNS)
    others = np.zeros(0, np.int64)
    if share:
        (found,) = run_query(lake, ALL, {"split": split})
        others = np.setdiff1d(found["row_id"].to_numpy(), boxed.row_ids)
        others = others[np.argsort(mix(others, 0), kind="stable")]
    latents = Latents(str(lake.path("latents")))
    every = TrainingRows(np.union1d(boxed.row_ids, others), boxed.tables)
    rows = every.read(range(len(every)))
    digests = [row["sha256"] for row in rows]
    kept = latents.known(digests) & _words_known(Prompts(str(lake.path("prompts"))), rows)
    others = others[np.isin(others, every.row_ids[kept])]
    known = np.isin(boxed.row_ids, every.row_ids[kept])
    if not known.any():
        raise ParamsError(
            f"no row of split {split} that satisfies train_adapter.where is encoded; "
            'run "dvc repro encode"'
        )
    wanted = round(known.sum() * share / (1 - share))
    unboxed = np.sort(others[:wanted])
    if len(unboxed) < wanted:
        raise ParamsError(
            f"train_adapter.unboxed_share = {share} wants {wanted} rows beside the "
            f"{known.sum()} with boxes, and split {split} has {len(others)}; lower it"
        )
    row_ids = np.union1d(boxed.row_ids[known], unboxed)
    chosen = np.flatnonzero(np.isin(every.row_ids, row_ids))
    groups = latents.shapes([digests[place] for place in chosen])
    return AdapterRows(TrainingRows(row_ids, boxed.tables), unboxed, groups)


def _words_known(prompts: Prompts, rows: Sequence[dict[str, Any]]) -> NDArray[np.bool_]:
    """Of each row, whether its caption and all its names have states."""
    texts = [[row["caption"], *(each["name"] for each in row["objects"])] for row in rows]
    distinct = sorted({text for some in texts for text in some})
    known = {text for text, held in zip(distinct, prompts.known(distinct), strict=True) if held}
    return np.array([known.issuperset(some) for some in texts], bool)
