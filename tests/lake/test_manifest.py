import json
from pathlib import Path

import lance
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spatialgen.errors import LakeError
from spatialgen.lake.manifest import Manifest, describe
from spatialgen.lake.schemas import REJECTS, TableSpec

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("left", pa.string()),
        ("right", pa.string()),
        ("objects", pa.list_(pa.struct([("name", pa.string()), ("bbox", pa.list_(pa.float32()))]))),
    ]
)
SPEC = TableSpec(name="things", stage="test", key=("number",), schema=SCHEMA, classes=("left",))

text = st.none() | st.text(st.sampled_from("左a:-1,'\"[{"), max_size=4)
objects = st.lists(
    st.fixed_dictionaries(
        {"name": text, "bbox": st.lists(st.floats(0, 1, width=32), max_size=4)},
    ),
    max_size=2,
)
row = st.fixed_dictionaries(
    {"number": st.integers(0, 3), "left": text, "right": text, "objects": st.none() | objects}
)


def manifest_of(rows: list[dict[str, object]], folder: Path) -> Manifest:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return describe(SPEC, lance.write_dataset(table, str(folder / "t.lance"), mode="overwrite"))


def as_multiset(rows: list[dict[str, object]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(row, min_size=1, max_size=5), other=row, order=st.randoms())
def test_the_digest_sees_content_and_nothing_else(
    tmp_path: Path, rows: list[dict[str, object]], other: dict[str, object], order: object
) -> None:
    shuffled = list(rows)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    manifest = manifest_of(rows, tmp_path)
    assert manifest == manifest_of(shuffled, tmp_path)
    assert manifest.rows == len(rows)
    changed = [other, *rows[1:]]
    same = as_multiset(changed) == as_multiset(rows)
    assert (manifest_of(changed, tmp_path).digest == manifest.digest) == same


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"left": None, "right": "a"}, {"left": "", "right": "a"}),
        ({"left": "ab", "right": "c"}, {"left": "a", "right": "bc"}),
        ({"left": "a", "right": None}, {"left": None, "right": "a"}),
        ({"left": "1:a", "right": ""}, {"left": "", "right": "1:a"}),
    ],
)
def test_null_empty_and_shifted_values_differ(
    tmp_path: Path, one: dict[str, object], two: dict[str, object]
) -> None:
    assert manifest_of([one], tmp_path).digest != manifest_of([two], tmp_path).digest


def test_repeated_rows_count(tmp_path: Path) -> None:
    digests = {manifest_of([{"left": "a"}] * n, tmp_path).digest for n in range(1, 5)}
    assert len(digests) == 4  # an xor would cancel out


def test_counts_and_json_round_trip(tmp_path: Path) -> None:
    manifest = manifest_of([{"left": "左"}, {"left": "左"}, {"left": None}], tmp_path)
    assert manifest.counts == {"left": {"null": 1, "左": 2}}
    manifest.write(tmp_path / "things.json")
    assert Manifest.read(tmp_path / "things.json") == manifest
    assert '"左": 2' in (tmp_path / "things.json").read_text(encoding="utf-8")


def test_what_is_no_manifest_is_said_so(tmp_path: Path) -> None:
    assert Manifest.read(tmp_path / "none.json") is None
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(LakeError, match=r"bad\.json is not a table manifest .*git checkout"):
        Manifest.read(tmp_path / "bad.json")


def test_the_digest_of_a_known_table_never_changes(tmp_path: Path) -> None:
    rows = [{"file": "1.csv", "line": 2, "reason": "empty_url", "raw": ",左"}]
    table = pa.Table.from_pylist(rows, schema=REJECTS.schema)
    manifest = describe(REJECTS, lance.write_dataset(table, str(tmp_path / "r.lance")))
    assert manifest.digest == "68161068c9c9cc1184c99e224b5bd113"
