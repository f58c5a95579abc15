"""The order of rows, and who gets which."""

from collections import Counter
from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.training.loader import Position, RowSampler
from spatialgen.training.order import epoch_order, mix, row_generator
from tests.training.numbers import Numbers

SIZES = st.integers(1, 40)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1), st.integers(0, 5))
def test_more_rows_leave_the_order_of_the_others(ids, epoch):
    all_ids = np.array(sorted(ids))
    kept = all_ids[::2]
    order = all_ids[epoch_order(all_ids, 1, epoch)]
    assert [i for i in order if i in kept] == [*kept[epoch_order(kept, 1, epoch)]]


def test_epochs_seeds_and_rows_differ():
    ids = np.arange(1000)
    assert len(np.unique(mix(ids, 1, 2))) == 1000
    assert (epoch_order(ids, 0, 0) != epoch_order(ids, 0, 1)).mean() > 0.9
    assert (epoch_order(ids, 0, 0) != epoch_order(ids, 1, 0)).mean() > 0.9
    draws = [row_generator(row, seed, epoch).random() for row in (1, 2) for seed in (0, 1)
             for epoch in (0, 1)]  # fmt: skip
    assert len(set(draws)) == 8
    assert abs(np.mean([row_generator(row, 0, 0).random() for row in range(2000)]) - 0.5) < 0.03


def batches(rows, batch, start, world, count):
    shares = [
        islice(RowSampler(rows, batch, 3, start, rank=rank, world=world), count)
        for rank in range(world)
    ]
    return [*zip(*shares, strict=True)]


@given(rows=SIZES, batch=SIZES, world=st.integers(1, 4))
def test_every_epoch_holds_every_row_once_however_many_share_it(rows, batch, world):
    rows_of = Numbers(rows)
    per_epoch = -(-rows // batch)
    position = Position()
    seen: Counter[tuple[int, int]] = Counter()
    for shares in batches(rows_of, batch, position, world, 2 * per_epoch):
        together = min(batch, rows - position.seen)
        for rank, share in enumerate(shares):
            own = len(range(rank, together, world))
            seen.update(share[:own])
            assert len(share) == max(own, 1), "none is left without a batch"
        position = position.after(together, rows)
    assert position == Position(2, 0)
    assert seen == Counter({(place, epoch): 1 for place in range(rows) for epoch in (0, 1)})


@given(rows=SIZES, batch=SIZES, done=st.integers(0, 20), world=st.integers(1, 3))
def test_from_a_position_on_the_batches_are_the_same(rows, batch, done, world):
    rows_of, position = Numbers(rows), Position()
    for _ in range(done):
        position = position.after(min(batch, rows - position.seen), rows)
    whole = batches(rows_of, batch, Position(), world, done + 5)
    assert batches(rows_of, batch, position, world, 5) == whole[done:]
