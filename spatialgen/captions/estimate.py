"""What stage filter would cost."""

import math

import pyarrow as pa

from spatialgen.captions.filter import filter_stage
from spatialgen.captions.publish import spatial_type_sql
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.params import FilterParams, Params
from spatialgen.rows.estimate import Estimate, estimate_rows
from spatialgen.rows.runner import Inline


def estimate_filter(lake: Lake, params: Params, sample_rows: int) -> Estimate:
    """Forecast `dvc repro filter` with these params on this machine."""
    return estimate_rows(
        lake,
        filter_stage(params.filter, params.compute),
        lake["candidates"].dataset(),
        Inline(params.compute.device),
        sample_rows=sample_rows,
        rows_needed=lambda answers: rows_needed(params.filter, answers),
    )


def rows_needed(params: FilterParams, answers: pa.Table) -> float:
    """Rows that hold `params.target_samples` spatial ones if all are as `answers`; inf for all."""
    if params.target_samples is None:
        return math.inf
    connection = duck.connect()
    try:
        connection.register("answers", answers)
        spatial = spatial_type_sql(params.min_probability)
        ((share,),) = connection.execute(
            f"select avg(coalesce({spatial} in ('strong', 'weak'), false)::int) from answers"
        ).fetchall()
    finally:
        connection.close()
    return params.target_samples / share if share else math.inf
