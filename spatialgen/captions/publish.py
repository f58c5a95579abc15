"""From probabilities to lake/captions: classes, the target, and the published table."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.errors import LakeError
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import CANDIDATES, CAPTIONS, PROBABILITIES
from spatialgen.params import FilterParams
from spatialgen.rows.batcher import OK
from spatialgen.rows.engine import memo_rows, rounds
from spatialgen.rows.stage import RowStage

logger = logging.getLogger(__name__)

ROUND_ROWS = 500_000  # in memory at once, with their URLs
BATCH_ROWS = 65_536


def spatial_type_sql(min_probability: float) -> str:
    """The published class: spatial where p_strong + p_weak reaches `min_probability`, then the
    likelier of strong and weak; null for a row without an answer.
    """
    return f"""case when p_none is null then null
        when p_strong::double + p_weak::double < {float(min_probability)!r}::double then 'none'
        when p_strong >= p_weak then 'strong' else 'weak' end"""


def judged_rounds(
    lake: Lake,
    stage: RowStage,
    rows: lance.LanceDataset | pa.Table,
    params: FilterParams,
    columns: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """`rows` (row_id, caption, `columns`) with their judgement, a stretch at a time, in row_id
    order; rows without an answer or an error are left out.
    """
    memo = lake.memo(stage.name, stage.schema)
    tier = Path(params.model).name.replace("'", "''")
    connection = duck.connect()
    try:
        for asked in rounds(stage, rows, ROUND_ROWS, columns):
            connection.register("asked", asked)
            connection.register("answers", memo.answers(asked["key"]))
            yield connection.sql(
                f"""
                select asked.* exclude (key),
                       {spatial_type_sql(params.min_probability)} as spatial_type,
                       p_strong, p_weak, p_none,
                       case when p_none is not null then '{tier}' end as tier, error
                from asked join answers using (key) order by row_id
                """
            ).to_arrow_table()
    finally:
        connection.close()


def is_spatial(rows: pa.Table) -> pa.ChunkedArray:
    """Whether a judged row is strong or weak."""
    return pc.is_in(rows["spatial_type"], value_set=pa.array(["strong", "weak"]))


@dataclass
class SpatialTarget:
    """`filter.target_samples`: judge in row_id order until so many rows are strong or weak."""

    lake: Lake
    stage: RowStage
    params: FilterParams
    found: int = 0
    judged: int = 0

    def missing(self, answered: pa.Table) -> int:
        """Rows still to judge, by the share of spatial ones so far; 0 when there are enough."""
        for rows in judged_rounds(self.lake, self.stage, answered, self.params):
            self.found += pc.sum(is_spatial(rows)).as_py() or 0
        self.judged += answered.num_rows
        missing = max((self.params.target_samples or 0) - self.found, 0)
        return math.ceil(missing * self.judged / max(self.found, 1))


def publish_captions(
    lake: Lake, stage: RowStage, candidates: lance.LanceDataset, params: FilterParams
) -> Manifest:
    """Publish lake/captions: every candidate with its judgement, from the store.

    With a target, the shortest prefix in row_id order that holds that many spatial rows.
    """
    judged = judged_rounds(lake, stage, candidates, params, CANDIDATES.schema.names)
    if params.target_samples is not None:
        judged = _until(judged, params.target_samples)
    manifest = lake.publish(CAPTIONS, _as_declared(judged))
    if params.target_samples is None and manifest.rows != candidates.count_rows():
        raise LakeError(
            f"the store answered {manifest.rows} of {candidates.count_rows()} candidates: somebody "
            'removed rows from it meanwhile; run "dvc repro filter" again'
        )
    return manifest


def _until(judged: Iterator[pa.Table], target: int) -> Iterator[pa.Table]:
    """The rows up to the one that makes `target` spatial ones."""
    found = 0
    for rows in judged:
        places = np.nonzero(is_spatial(rows).to_numpy())[0]
        if found + len(places) >= target:
            yield rows.slice(0, int(places[target - found - 1]) + 1)
            return
        found += len(places)
        yield rows
    logger.warning("all candidates hold %d spatial rows, filter.target_samples = %d", found, target)


def _as_declared(judged: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    """Batches in the published schema, which declares what is never null."""
    for rows in judged:
        for batch in rows.select(CAPTIONS.schema.names).to_batches(max_chunksize=BATCH_ROWS):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=CAPTIONS.schema)


def seed_answers(lake: Lake, stage: RowStage) -> int:
    """Give the store the answers in lake/captions, which must come from `stage`; how many are new.

    Failures are left out: another machine may not have them.
    """
    memo = lake.memo(stage.name, stage.schema)
    captions, names = lake["captions"].dataset(), [field.name for field in PROBABILITIES]
    added = 0
    for rows in rounds(stage, captions, ROUND_ROWS, names):
        new = memo.pending(rows.filter(pc.is_valid(rows["p_none"])))
        if not new.num_rows:
            continue
        answers = new.select(names)
        answers = answers.append_column("status", pa.repeat(OK, new.num_rows))
        answers = answers.append_column("error", pa.nulls(new.num_rows, pa.string()))
        memo.append(memo_rows(memo, stage, new, answers))
        added += new.num_rows
    return added
