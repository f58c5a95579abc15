"""What stage annotate would cost."""

from spatialgen.grounding.gold import read_given
from spatialgen.grounding.stage import annotate_stage, asked_rows, with_question
from spatialgen.lake.lake import Lake
from spatialgen.params import Params
from spatialgen.rows.estimate import Estimate, estimate_rows
from spatialgen.rows.runner import Inline


def estimate_annotate(lake: Lake, params: Params, sample_rows: int) -> Estimate:
    """Forecast `dvc repro annotate` with these params on this machine, all looks together; the
    planted names of gold rows are left out."""
    stage = annotate_stage(params.annotate, params.compute, lake.path("images"))
    given = read_given(params.annotate)
    looks = [
        estimate_rows(
            lake,
            stage,
            with_question(rows),
            Inline(params.compute.device),
            sample_rows=sample_rows,
        )
        for rows in asked_rows(lake, params.annotate, given).values()
    ]
    return Estimate(
        rows=sum(look.rows for look in looks),
        reused=sum(look.reused for look in looks),
        to_do=sum(look.to_do for look in looks),
        rows_per_s=next((look.rows_per_s for look in looks if look.rows_per_s), None),
        load_s=max(look.load_s for look in looks),
    )
