"""A whole run of the pipeline, made once for all tests that look at one."""

import pytest

from tests.conftest import Project, make_project


@pytest.fixture(scope="session")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has run to its end and is committed; each test leaves it as it was."""
    project = make_project(tmp_path_factory.mktemp("annotated") / "project")
    project.run("dvc", "repro")
    project.commit("first run")
    return project
