"""Rows of a Lance table by the values of a column: what a training's loader reads, at random."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spatialgen.errors import LakeError
from spatialgen.lake.ids import h64
from spatialgen.lake.schemas import is_blob

Key = int | str


@dataclass(frozen=True)
class KeyedRows:
    """The rows of the table at `path` by its column `key`, numbers or texts that differ.

    The table is opened where rows are asked for first: a copy in another process opens it itself.
    In memory are 24 bytes of each row and its columns `held`, which spare a look at the disk.
    """

    path: str
    key: str
    held: tuple[str, ...] = ()  # columns of small values
    _open: list["_Opened"] = field(default_factory=list, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open: Lance's handles do not survive a process."""
        return {**self.__dict__, "_open": []}

    def take(self, keys: Sequence[Key], columns: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of these keys in their order, with these columns, blobs as bytes; a key may come
        twice. LakeError where the table lacks one."""
        opened, places = self._opened(), self._places(keys)
        rows: list[dict[str, Any]] = [{} for _ in keys]
        read = [name for name in columns if name not in self.held]
        plain = [name for name in read if name not in opened.blobs]
        if held := [name for name in columns if name in self.held]:
            _add(rows, opened.held.select(held).take(places))
        if plain:
            _add(rows, opened.dataset.take(places, columns=plain))
        for name in opened.blobs.intersection(read):
            found = opened.dataset.read_blobs(
                name, addresses=opened.addresses[places], preserve_order=True
            )
            for row, (_, content) in zip(rows, found, strict=True):
                row[name] = content
        return rows

    def table(self, keys: Sequence[Key], columns: Sequence[str]) -> pa.Table:
        """The same for many rows, without blobs: these columns are read as a whole."""
        places, opened = self._places(keys), self._opened()
        if set(columns) <= set(self.held):
            return opened.held.select(columns).take(places)
        return opened.dataset.to_table(columns=[*columns]).take(places)

    def has(self, keys: Sequence[Key]) -> NDArray[np.bool_]:
        """Of each key, whether there is a row."""
        opened, wanted = self._opened(), hashes(keys)
        begin = np.searchsorted(opened.hashes, wanted)
        end = np.searchsorted(opened.hashes, wanted, side="right")
        held: NDArray[np.bool_] = end > begin
        return held

    def _places(self, keys: Sequence[Key]) -> NDArray[np.int64]:
        missing = ~self.has(keys)
        if missing.any():
            raise LakeError(
                f"{self.path} lacks {self.key} {keys[int(np.argmax(missing))]!r} "
                f'({int(missing.sum())} of {len(keys)} rows); run "dvc checkout", or "dvc repro"'
            )
        opened = self._opened()
        places: NDArray[np.int64] = opened.places[np.searchsorted(opened.hashes, hashes(keys))]
        return places

    def _opened(self) -> "_Opened":
        if not self._open:
            self._open.append(_Opened.of(self))
        return self._open[0]


@dataclass(frozen=True)
class _Opened:
    """An open table: where the row of each key's hash is."""

    dataset: lance.LanceDataset
    hashes: NDArray[np.int64]  # ascending
    places: NDArray[np.int64]  # of the rows of these hashes, in the table's order
    addresses: NDArray[np.uint64]  # of rows in the table's order
    held: pa.Table  # rows in the table's order
    blobs: frozenset[str]

    @classmethod
    def of(cls, rows: KeyedRows) -> "_Opened":
        if not Path(rows.path).exists():
            raise LakeError(f'{rows.path} is missing; run "dvc checkout", or "dvc repro"')
        dataset = lance.dataset(rows.path)
        columns = [*dict.fromkeys([rows.key, *rows.held])]
        table = dataset.scanner(columns=columns, with_row_address=True).to_table()
        hashed = hashes(table[rows.key].to_pylist())
        order = np.argsort(hashed)
        blobs = frozenset(each.name for each in dataset.schema if is_blob(each))
        held = table.select(rows.held).combine_chunks()
        return cls(dataset, hashed[order], order, table["_rowaddr"].to_numpy(), held, blobs)


def _add(rows: list[dict[str, Any]], values: pa.Table) -> None:
    for row, found in zip(rows, values.to_pylist(), strict=True):
        row |= found


def hashes(keys: Sequence[Key]) -> NDArray[np.int64]:
    """64 bits of each key: a number itself, or the hash of a text."""
    numbers = [h64(key) if isinstance(key, str) else int(key) for key in keys]
    return np.array(numbers, np.int64)
