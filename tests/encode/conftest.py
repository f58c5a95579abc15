"""Tiny checkpoints, made once."""

import pytest
import torch

from tests.sample.generators import tiny_kolors, tiny_sdxl


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="package")
def kolors(tmp_path_factory):
    """A random Kolors checkpoint."""
    return tiny_kolors(tmp_path_factory.mktemp("kolors"))


@pytest.fixture(scope="package")
def sdxl(tmp_path_factory):
    """A random SDXL checkpoint; its pipeline takes zeros for no caption."""
    return tiny_sdxl(tmp_path_factory.mktemp("sdxl") / "model")
