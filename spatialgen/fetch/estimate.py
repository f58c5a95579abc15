"""What stage download would take."""

from spatialgen.fetch.stage import asked_rows, download_stage
from spatialgen.lake.lake import Lake
from spatialgen.params import Params
from spatialgen.rows.estimate import Estimate, estimate_rows
from spatialgen.rows.streaming import Streaming


def estimate_download(lake: Lake, params: Params, sample_rows: int) -> Estimate:
    """Forecast `dvc repro download` with these params on this machine and network."""
    stage = download_stage(params.download, params.compute)
    asked = asked_rows(lake, params.download)
    return estimate_rows(lake, stage, asked, Streaming(), sample_rows=sample_rows)
