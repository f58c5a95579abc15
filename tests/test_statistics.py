import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.statistics import bootstrap_f1, wilson


def test_wilson_agrees_with_the_literature() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857), table I: 81 of 263, method 3."""
    found = wilson(81, 263)
    assert found.lo == pytest.approx(0.2553, abs=1e-4)
    assert found.hi == pytest.approx(0.3662, abs=1e-4)
    none = wilson(0, 20)
    assert none.lo == 0
    assert none.hi == pytest.approx(0.1611, abs=1e-4)


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_interval_holds_the_share(successes: int, failures: int) -> None:
    found = wilson(successes, successes + failures)
    if successes + failures == 0:
        assert found.value is None
    else:
        assert 0 <= found.lo <= found.value <= found.hi <= 1  # type: ignore[operator]


def test_bootstrap_narrows_with_more_cases_and_repeats_itself() -> None:
    few = np.array([[8, 1, 1], [1, 8, 1], [1, 1, 8]])
    widths = []
    for counts in (few, few * 100):
        _, macro = bootstrap_f1(counts)
        assert macro.value == pytest.approx(0.8)
        assert macro.lo is not None
        assert macro.hi is not None
        widths.append(macro.hi - macro.lo)
        assert bootstrap_f1(counts)[1] == macro
    assert widths[0] > 5 * widths[1]
