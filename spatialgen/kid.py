"""Kernel inception distance: how far two sets of pictures are apart in a network's features.

Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, arXiv:1801.01401: the squared maximum mean
discrepancy with the kernel (x y / d + 1)^3, estimated without bias, so that small sets may be
compared; of two samples of one distribution it is 0 on average, and may be negative.
"""

import math

import numpy as np
from numpy.typing import NDArray

from spatialgen.statistics import Figure, Z

Features = NDArray[np.float64]  # [n, d]
BLOCKS = 20


def kid(one: Features, other: Features) -> Figure:
    """The distance of two sets of as many pictures, with a normal interval of the jackknife over
    BLOCKS blocks (Tukey 1958, Ann. Math. Stat. 29:614); `n` counts the pictures of one set."""
    if one.shape != other.shape or len(one) < 2 * BLOCKS:
        raise ValueError(
            f"features {one.shape} and {other.shape}; give as many of both, {2 * BLOCKS} at least"
        )
    kernels = [_kernel(one, one), _kernel(other, other), _kernel(one, other)]
    value = _distance(*kernels)
    block = np.arange(len(one)) % BLOCKS
    without = []
    for number in range(BLOCKS):
        kept = np.ix_(block != number, block != number)
        without.append(_distance(*(kernel[kept] for kernel in kernels)))
    deviation = math.sqrt((BLOCKS - 1) * float(np.var(without)))
    return Figure(value, value - Z * deviation, value + Z * deviation, len(one))


def _kernel(x: Features, y: Features) -> Features:
    product: Features = (x @ y.T / x.shape[1] + 1) ** 3
    return product


def _distance(within: Features, other: Features, between: Features) -> float:
    """Of kernel matrices [n, n]; a picture is not compared with itself."""
    n = len(within)
    inner = sum(float(each.sum() - np.trace(each)) for each in (within, other)) / (n * (n - 1))
    return inner - 2 * float(between.mean())
