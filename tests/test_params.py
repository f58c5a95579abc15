from pathlib import Path

import pytest

from spatialgen.errors import ParamsError
from spatialgen.params import load_params
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


def load(tmp_path: Path, *changes: tuple[str, str]) -> None:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    load_params(tmp_path / "params.yaml")


def test_the_shipped_params_are_valid() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    assert "左" in params.candidates.keywords
    with pytest.raises(ValueError, match="frozen"):
        params.sample.rows = 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  pattern:", "  patern:", "unknown key candidates.patern; did you mean pattern?"),
        ("compute:", "compuet:", "unknown key compuet; did you mean compute?"),
        ("  seed: 20\n", "", "sample.seed is missing; add it"),
        ("rows: 60000", "rows: 0", "sample.rows = 0 is wrong"),
        ("rows: 60000", "rows: many", "sample.rows = 'many' is wrong"),
        ("memory: 1GB", "memory: lots", "compute.memory = 'lots' is wrong"),
        ("[左,", "['a,b',", "candidates.keywords.0 = 'a,b' is wrong: a keyword is a word without"),
        ("[左,", "['', 左,", "candidates.keywords.0 = '' is wrong"),
        ("sample:", "sample: [", "is no YAML"),
    ],
)
def test_mistakes_name_key_value_and_remedy(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(ParamsError) as error:
        load(tmp_path, (old, new))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"sample\.rows.*; .*sample\.shards"):
        load(tmp_path, ("rows: 60000", "rows: 0"), ("shards: 4", "shards: -1"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"nowhere\.yaml does not exist"):
        load_params(tmp_path / "nowhere.yaml")
