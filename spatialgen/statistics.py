"""Intervals around what was counted."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959964  # of a two-sided 95 % interval
RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A measured figure with its 95 % interval and the number of cases behind it.

    All three are None where there was no case: not measured is not zero.
    """

    value: float | None
    lo: float | None
    hi: float | None
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For a metrics file; six digits, so that files differ where figures do."""
        figures = asdict(self)
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in figures.items()}


NOT_MEASURED = Figure(None, None, None, 0)


def wilson(successes: float, n: int) -> Figure:
    """A proportion with Wilson's score interval (Wilson 1927, JASA 22:209)."""
    if n == 0:
        return NOT_MEASURED
    share = successes / n
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    # At 0 and 1 the interval ends there, but for rounding.
    lo = 0.0 if successes == 0 else centre - half
    return Figure(share, lo, 1.0 if successes == n else centre + half, n)


def ratio(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> Figure:
    """A share: sum over sum, each pair of terms from one independent case, with the ratio
    estimator's normal interval (Cochran, Sampling Techniques, 1977, section 6.4), cut at 0 and 1;
    `n` counts cases.
    """
    total, n = float(denominators.sum()), len(denominators)
    if total == 0:
        return NOT_MEASURED
    value = float(numerators.sum()) / total
    residuals = numerators - value * denominators
    variance = float((residuals**2).sum()) * n / max(1, n - 1)
    half = Z * math.sqrt(variance) / total
    return Figure(value, max(0.0, value - half), min(1.0, value + half), n)


def pooled(hits: Sequence[int], asked: Sequence[int]) -> Figure:
    """The share of what is asked that hits, in cases that ask several times each, with Wilson's
    interval for as many trials as there are cases that ask: what one case asks may hang together.
    """
    cases = sum(count > 0 for count in asked)
    if cases == 0:
        return NOT_MEASURED
    share = sum(hits) / sum(asked)
    return wilson(share * cases, cases)


def f1_scores(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each class from [..., truth, predicted] counts; NaN where a class never occurs.

    Further columns than classes are of cases without a prediction.
    """
    classes = confusion.shape[-2]
    hits = np.diagonal(confusion[..., :classes], axis1=-2, axis2=-1)
    both = confusion.sum(-1) + confusion.sum(-2)[..., :classes]
    scores: NDArray[np.float64] = np.where(both > 0, 2 * hits / np.maximum(both, 1), np.nan)
    return scores


def macro_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean F1 over the classes that occur; NaN where none does."""
    scores = f1_scores(confusion)
    count = np.isfinite(scores).sum(-1)
    mean: NDArray[np.float64] = np.where(
        count > 0, np.nansum(scores, axis=-1) / np.maximum(count, 1), np.nan
    )
    return mean


def bootstrap_f1(confusion: NDArray[np.int64]) -> tuple[list[Figure], Figure]:
    """F1 per class and their mean (macro-F1), with percentile bootstrap intervals (Efron 1979).

    Cases are resampled with a fixed seed, so equal counts give equal intervals.
    """
    n = int(confusion.sum())
    if n == 0:
        return [NOT_MEASURED] * len(confusion), NOT_MEASURED
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, confusion.ravel() / n, size=RESAMPLES)
    resamples = drawn.reshape(-1, *confusion.shape)
    scores, resampled = f1_scores(confusion), f1_scores(resamples)
    classes = [_percentiles(scores[i], resampled[:, i], n) for i in range(len(confusion))]
    return classes, _percentiles(macro_f1(confusion), macro_f1(resamples), n)


def _percentiles(value: Any, resampled: NDArray[np.float64], n: int) -> Figure:
    if not np.isfinite(value):
        return NOT_MEASURED
    lo, hi = np.nanpercentile(resampled, [2.5, 97.5])
    return Figure(float(value), float(lo), float(hi), n)
