"""Which row comes when, and what chance decides about it: functions of (row_id, seed, epoch) alone.

So neither the order of a table nor workers, processes, an interruption or a resume changes them,
and more rows leave the order of the others as it was.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def digest_of(row_ids: NDArray[np.int64]) -> str:
    """16 hex digits over row ids, in their order: which rows train."""
    data = np.ascontiguousarray(row_ids).tobytes()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()[:16]


def mix(values: NDArray[np.int64], *salts: int) -> NDArray[np.uint64]:
    """A hash of each value and the salts, uniform over 64 bits: SplitMix64, once per salt (Steele,
    Lea and Flood 2014, "Fast splittable pseudorandom number generators")."""
    mixed = np.ascontiguousarray(values, np.int64).view(np.uint64)
    with np.errstate(over="ignore"):
        for salt in salts:
            mixed = mixed ^ (np.uint64(salt % 2**64) * GOLDEN)
            mixed = mixed + GOLDEN
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


def epoch_order(row_ids: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Places in `row_ids` in the order of an epoch."""
    return np.argsort(mix(row_ids, seed, epoch), kind="stable")


def row_generator(row_id: int, seed: int, epoch: int) -> np.random.Generator:
    """What decides about a row in an epoch: noise, dropout, mirroring."""
    (state,) = mix(np.array([row_id]), seed, epoch, 1)
    return np.random.default_rng(int(state))
