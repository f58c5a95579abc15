"""From probabilities to lake/captions: classes, the target, and the published table."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import lance
import pyarrow as pa

from spatialgen.errors import LakeError
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.schemas import CAPTIONS, PROBABILITIES
from spatialgen.lake.sorting import sort_rows
from spatialgen.params import ComputeParams, FilterParams
from spatialgen.rows.batcher import OK
from spatialgen.rows.engine import key_sql
from spatialgen.rows.stage import RowStage

logger = logging.getLogger(__name__)

BATCH_ROWS = 65_536


def spatial_type_sql(min_probability: float) -> str:
    """The published class: spatial where p_strong + p_weak reaches `min_probability`, then the
    likelier of strong and weak; null for a row without an answer.
    """
    return f"""case when p_none is null then null
        when p_strong::double + p_weak::double < {float(min_probability)!r}::double then 'none'
        when p_strong >= p_weak then 'strong' else 'weak' end"""


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
        wanted = self.params.target_samples or 0
        memo = self.lake.memo(self.stage.name, self.stage.schema)
        with memo.answers(answered.select(["key"])) as reader:
            answers = reader.read_all()
        connection = duck.connect()
        try:
            connection.register("answers", answers)
            connection.register("answered", answered.select(["key"]))
            spatial = spatial_type_sql(self.params.min_probability)
            ((found,),) = connection.execute(
                f"select count(*) from answered join answers using (key) "
                f"where {spatial} in ('strong', 'weak')"
            ).fetchall()
        finally:
            connection.close()
        self.found += found
        self.judged += answered.num_rows
        missing = max(wanted - self.found, 0)
        return math.ceil(missing * self.judged / max(self.found, 1))


def publish_captions(
    lake: Lake,
    stage: RowStage,
    candidates: lance.LanceDataset,
    params: FilterParams,
    compute: ComputeParams,
) -> Manifest:
    """Publish lake/captions: every candidate with its judgement, from the store.

    With a target, the shortest prefix in row_id order that holds that many spatial rows.
    """
    with (
        judged_rows(lake, stage, candidates, params, compute) as connection,
        TemporaryDirectory(dir=lake.spill) as folder,
    ):
        condition = "true"
        if params.target_samples is not None:
            last = connection.execute(
                "select row_id from judged where spatial_type in ('strong', 'weak') "
                f"order by row_id limit 1 offset {params.target_samples - 1}"
            ).fetchall()
            if last:
                condition = f"row_id <= {last[0][0]}"
            else:
                logger.warning(
                    "all candidates together hold less than filter.target_samples = %d",
                    params.target_samples,
                )
        rows = connection.sql(
            f"select {', '.join(CAPTIONS.schema.names)} from judged where {condition}"
        ).to_arrow_reader(BATCH_ROWS)
        ordered = sort_rows(rows, rows.schema, "url", Path(folder))
        manifest = lake.publish(CAPTIONS, _declared(ordered))
    if params.target_samples is None and manifest.rows != candidates.count_rows():
        raise LakeError(
            f"the store answered {manifest.rows} of {candidates.count_rows()} candidates: somebody "
            'removed rows from it meanwhile; run "dvc repro filter" again'
        )
    return manifest


@contextmanager
def judged_rows(
    lake: Lake,
    stage: RowStage,
    rows: lance.LanceDataset | pa.Table,
    params: FilterParams,
    compute: ComputeParams,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose view `judged` has `rows` with their judgement; unanswered rows are not in.

    Its columns: those of `rows`, spatial_type, p_strong, p_weak, p_none, tier, error.
    """
    lake.spill.mkdir(parents=True, exist_ok=True)
    connection = duck.connect(memory=compute.memory, threads=compute.threads, spill=lake.spill)
    try:
        connection.register("rows", rows)
        best = lake.memo(stage.name, stage.schema).best(connection, stage.fp)
        tier = Path(params.model).name.replace("'", "''")
        connection.execute(
            f"""
            create view judged as
            with answer as ({best}), asked as (select *, {key_sql(stage)} as key from rows)
            select asked.* exclude (key),
                   {spatial_type_sql(params.min_probability)} as spatial_type,
                   p_strong, p_weak, p_none,
                   case when p_none is not null then '{tier}' end as tier, error
            from asked join answer using (key)
            """
        )
        yield connection
    finally:
        connection.close()


def seed_answers(lake: Lake, stage: RowStage) -> int:
    """Give the store the answers in lake/captions, which must come from `stage`; how many are new.

    Failures are left out: another machine may not have them.
    """
    memo = lake.memo(stage.name, stage.schema)
    answers = ", ".join(f"any_value({p.name}) as {p.name}" for p in PROBABILITIES)
    connection = duck.connect(spill=lake.spill)
    try:
        connection.register("captions", lake["captions"].dataset())
        connection.execute(
            f"""
            create view wanted as
            select {key_sql(stage)} as key, min(row_id) as row_id, '{stage.fp}' as fp,
                   {stage.attempt}::int as attempt, '{OK}' as status, null::varchar as error,
                   now() as committed, {answers}
            from captions where p_none is not null group by key
            """
        )
        new = connection.sql(memo.unanswered(connection)).to_arrow_table()
    finally:
        connection.close()
    if new.num_rows:
        memo.append(new.select(memo.schema.names).cast(memo.schema))
    return int(new.num_rows)


def _declared(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches with the schema that declares what is never null."""
    for batch in batches:
        yield pa.RecordBatch.from_arrays(batch.columns, schema=CAPTIONS.schema)
