"""KID: nothing between samples of one distribution, more the further two lie apart."""

import numpy as np
import pytest

from spatialgen.kid import kid as measure


def kid(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Value and interval."""
    figure = measure(one, other)
    assert figure.value is not None
    assert figure.lo is not None
    assert figure.hi is not None
    return figure.value, figure.lo, figure.hi


def sample(seed: int, shift: float = 0.0, n: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, 16))


def test_it_is_zero_on_average_for_one_distribution():
    figures = [kid(sample(seed), sample(100 + seed)) for seed in range(40)]
    values = np.array([value for value, _, _ in figures])
    assert abs(values.mean()) < 3 * values.std() / 40**0.5
    assert (values < 0).any()  # unbiased
    assert sum(lo <= 0 <= hi for _, lo, hi in figures) >= 32


def test_it_grows_with_the_distance_and_is_symmetric():
    near, far = (kid(sample(1), sample(2, shift)) for shift in (0.2, 0.6))
    assert 0 < near[0] < far[0]
    assert far[1] > 0
    assert kid(sample(2, 0.6), sample(1)) == pytest.approx(far)


def test_it_is_the_sum_over_pairs():
    one, other = sample(3, n=40), sample(4, 0.3, n=40)
    kernel = lambda a, b: (a @ b / 16 + 1) ** 3  # noqa: E731
    n = range(40)
    inner = sum(kernel(x[i], x[j]) for x in (one, other) for i in n for j in n if i != j)
    between = sum(kernel(one[i], other[j]) for i in n for j in n)
    assert kid(one, other)[0] == pytest.approx(inner / (40 * 39) - 2 * between / 1600)


def test_few_or_uneven_samples_are_refused():
    for one, other in ((sample(0, n=39), sample(1, n=39)), (sample(0), sample(1, n=100))):
        with pytest.raises(ValueError, match="give as many of both"):
            kid(one, other)
