"""What the tests of stage evaluate share."""

from typing import Any

import pytest
import torch

from spatialgen.evaluation.judges import Judges
from tests.evaluation.lakes import encode, evaluate_params, fill


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="package")
def judges() -> Judges:
    """The shipped ones."""
    return Judges.from_params(evaluate_params().evaluate, "cpu")


@pytest.fixture
def filled(lake) -> Any:
    """A lake of encoded rows that state sides, and their views by row_id."""
    views = fill(lake)
    encode(lake, evaluate_params())
    return lake, views
