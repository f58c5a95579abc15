"""A whole run of the pipeline, made once for all tests that look at one."""

import pytest

from tests.conftest import Project, RunTo


@pytest.fixture(scope="session")
def annotated(run_to: RunTo, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run to its end and is committed; each test leaves it as it was."""
    return run_to("all", tmp_path_factory.mktemp("annotated") / "project")
