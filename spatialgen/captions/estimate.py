"""What stage filter would cost."""

import math
from functools import partial

import pyarrow as pa

from spatialgen.captions.filter import filter_stage
from spatialgen.captions.publish import spatial_type_sql
from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.params import FilterParams, Params
from spatialgen.rows.estimate import Estimate, estimate_rows


def estimate_filter(lake: Lake, params: Params, sample_rows: int) -> Estimate:
    """Forecast `dvc repro filter` with these params on this machine."""
    return estimate_rows(
        lake,
        filter_stage(params.filter, params.compute),
        lake["candidates"].dataset(),
        params.compute.device,
        sample_rows=sample_rows,
        to_do=partial(expected_questions, params.filter),
    )


def expected_questions(params: FilterParams, rows: int, questions: int, answers: pa.Table) -> int:
    """How many of the open questions a run asks before it has `params.target_samples`.

    The share of spatial rows among `answers` (a random draw) is taken for all rows.
    """
    if params.target_samples is None:
        return questions
    connection = duck.connect()
    try:
        connection.register("answers", answers)
        spatial = spatial_type_sql(params.min_probability)
        ((share,),) = connection.execute(
            f"select avg(coalesce({spatial} in ('strong', 'weak'), false)::int) from answers"
        ).fetchall()
    finally:
        connection.close()
    needed = params.target_samples / share if share else math.inf
    return int(min(questions, max(needed - (rows - questions), 0)))
