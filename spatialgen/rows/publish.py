"""From what stages keep in the store beside their answers to tables, which share its files."""

from collections.abc import Iterator
from dataclasses import dataclass

import lance
import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.errors import LakeError
from spatialgen.lake.lake import Lake
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import TableSpec
from spatialgen.rows.batcher import OK
from spatialgen.rows.engine import rounds
from spatialgen.rows.stage import RowStage

ROUND_ROWS = 1_000_000


@dataclass(frozen=True)
class Published:
    """A table, and how many of the distinct questions have no row in it, for they failed."""

    manifest: Manifest
    failed: int


def publish_parts(lake: Lake, spec: TableSpec, stage: RowStage, asked: pa.Table) -> Published:
    """Publish the rows of `spec` that the store holds for `asked`; LakeError where it lacks one."""
    failed, wanted = 0, []
    for keys, answers in _answers(lake, stage, asked):
        lacking = pc.invert(pc.is_in(keys, value_set=answers["key"]))
        _require_all(pc.sum(lacking).as_py() or 0, len(keys), "answers", spec.stage)
        answered = answers.filter(pc.equal(answers["status"], OK))
        failed += answers.num_rows - answered.num_rows
        wanted.append(answered["key"])
    store = lake.stored(spec.name, spec.schema)
    store.create()
    dataset = lance.dataset(str(store.path))
    (key,) = spec.key
    parts = [chunk for column in wanted for chunk in column.chunks]
    keys = pa.chunked_array(parts, pa.int64()).unique()
    stored = dataset.to_table(columns=[key])[key]
    lacking = pc.invert(pc.is_in(keys, value_set=stored))
    _require_all(pc.sum(lacking).as_py() or 0, len(keys), f"rows of {store.path}", spec.stage)
    manifest = lake.publish_blobs(spec, dataset, pa.table({key: keys}))
    return Published(manifest, failed)


def _answers(
    lake: Lake, stage: RowStage, asked: pa.Table
) -> Iterator[tuple[pa.ChunkedArray, pa.Table]]:
    memo = lake.memo(stage.name, stage.schema)
    for part in rounds(stage, asked, ROUND_ROWS):
        yield part["key"], memo.answers(part["key"])


def _require_all(lacking: int, of: int, what: str, stage: str) -> None:
    if lacking:
        raise LakeError(
            f"the store lacks the {what} of {lacking} of {of} questions: somebody removed rows "
            f'from it meanwhile; run "dvc repro {stage}" again'
        )
