from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spatialgen.lake.sorting import sort_rows

SCHEMA = pa.schema([("row_id", pa.int64()), ("url", pa.string())])
row = st.tuples(
    st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1]),
    st.text("ab", max_size=2),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(st.lists(row, max_size=6), max_size=4))
def test_sorts_like_python_and_cleans_up(
    tmp_path: Path, parts: list[list[tuple[int, str]]]
) -> None:
    batches = [
        pa.RecordBatch.from_arrays(
            [
                pa.array([i for i, _ in part], pa.int64()),
                pa.array([u for _, u in part], pa.string()),
            ],
            schema=SCHEMA,
        )
        for part in parts
    ]
    found = [
        (line["row_id"], line["url"])
        for batch in sort_rows(batches, SCHEMA, "url", tmp_path)
        for line in batch.to_pylist()
    ]
    assert found == sorted(line for part in parts for line in part)
    assert not list(tmp_path.iterdir())
