"""What the tests of stage annotate begin with."""

import pytest

from spatialgen.params import load_params
from tests.conftest import REPOSITORY
from tests.grounding.models import save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint."""
    return str(save_tiny(tmp_path_factory.mktemp("model") / "tiny", "qwen2_vl"))


@pytest.fixture
def params(model):
    """The repository's section, with the tiny model."""
    section = load_params(REPOSITORY / "params.yaml").annotate
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "prompt.txt")
    changed = {"model": model, "prompt": prompt, "gold": None, "max_new_tokens": 16}
    return section.model_copy(update=changed)
