"""Batches of rows from a position on, one share per process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from spatialgen.training.order import epoch_order
from spatialgen.training.task import Collate

AHEAD_BATCHES = 4  # per worker


class Rows(Protocol):
    """Rows that can be trained on, wherever they are."""

    @property
    def row_ids(self) -> NDArray[np.int64]:
        """Their identities."""

    @property
    def digest(self) -> str:
        """A hash of these."""

    def __len__(self) -> int: ...

    def read(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """The rows at these places of `row_ids`."""


@dataclass(frozen=True)
class Position:
    """How far a training is: rows of `epoch` that were seen, by all processes together."""

    epoch: int = 0
    seen: int = 0

    def after(self, rows: int, total: int) -> "Position":
        """The position after so many rows more of an epoch of `total`."""
        seen = self.seen + rows
        return Position(self.epoch + 1, 0) if seen >= total else Position(self.epoch, seen)


class RowSampler(Sampler[list[tuple[int, int]]]):
    """(place, epoch) of each row of a batch, batch after batch, without end.

    Every epoch holds every row once: its last batch is smaller. Process `rank` of `world` gets
    every world-th row of a batch, so a batch holds the same rows however many share it; where it
    has fewer, the others get its first one, which they do not count. Where the rows have `groups`,
    a number each, only rows of one group share a batch.
    """

    def __init__(
        self,
        rows: Rows,
        batch: int,
        seed: int,
        start: Position,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.rows, self.batch, self.seed, self.start = rows, batch, seed, start
        self.rank, self.world = rank, world
        self._epochs: dict[int, list[NDArray[np.int64]]] = {}  # batches of the last two

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, seen = self.start.epoch, self.start.seen
        while True:
            for together in self._left(epoch, seen):
                places = together[self.rank :: self.world]
                yield [(int(place), epoch) for place in (places if len(places) else together[:1])]
            epoch, seen = epoch + 1, 0

    def together(self, position: Position) -> int:
        """Rows of the batch at a position, over all processes."""
        return len(next(self._left(position.epoch, position.seen)))

    def _left(self, epoch: int, seen: int) -> Iterator[NDArray[np.int64]]:
        """Places of the epoch's batches after so many rows."""
        for together in self._epoch(epoch):
            if seen <= 0:
                yield together
            seen -= len(together)

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        if epoch not in self._epochs:
            self._epochs = {
                known: each for known, each in self._epochs.items() if known == epoch - 1
            }
            self._epochs[epoch] = self._batches(epoch)
        return self._epochs[epoch]

    def _batches(self, epoch: int) -> list[NDArray[np.int64]]:
        order = epoch_order(self.rows.row_ids, self.seed, epoch)
        groups = getattr(self.rows, "groups", None)
        if groups is None:
            return self._cut(order)
        ranks = np.argsort(order)
        of_groups = (order[groups[order] == group] for group in np.unique(groups))
        batches = [batch for part in of_groups for batch in self._cut(part)]
        return sorted(batches, key=lambda batch: int(ranks[batch[0]]))

    def _cut(self, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [order[first : first + self.batch] for first in range(0, len(order), self.batch)]


class _Batches(Dataset[Any]):
    """Reads and collates a batch at a time."""

    def __init__(self, rows: Rows, collate: Collate) -> None:
        self.rows, self.collate = rows, collate

    def __getitems__(self, items: list[tuple[int, int]]) -> Any:
        rows = self.rows.read([place for place, _ in items])
        return self.collate(rows, [epoch for _, epoch in items])


def _as_it_is(batch: Any) -> Any:
    return batch


def make_loader(
    rows: Rows, collate: Collate, sampler: RowSampler, workers: int = 0
) -> "DataLoader[Any]":
    """A loader of collated batches; with `workers`, processes that fork from a fresh server, for
    Lance is not safe to fork."""
    options: dict[str, Any] = (
        {"multiprocessing_context": "forkserver", "prefetch_factor": AHEAD_BATCHES}
        if workers
        else {}
    )
    return DataLoader(
        _Batches(rows, collate),
        batch_sampler=sampler,
        collate_fn=_as_it_is,
        num_workers=workers,
        **options,
    )
