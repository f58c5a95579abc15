"""Row stage download: what became of every URL that is asked for."""

from functools import partial

import pyarrow as pa

from spatialgen.fetch.addresses import parse_targets
from spatialgen.fetch.client import Client, Limits
from spatialgen.fetch.concurrency import Concurrency
from spatialgen.fetch.crawl import Crawl
from spatialgen.fetch.images import PARTS
from spatialgen.fetch.reasons import Reason
from spatialgen.fetch.schedule import Policy
from spatialgen.lake.ids import fingerprint
from spatialgen.lake.lake import Lake
from spatialgen.params import ComputeParams, DownloadParams
from spatialgen.rows.source import Selection
from spatialgen.rows.stage import RowStage

REVISION = 1  # raise it when URLs should be asked anew
SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string()),  # a Reason; null when ok
        pa.field("http_status", pa.int32()),  # of the last answer, if there was one
        pa.field("host", pa.string()),  # as the URL names it
        pa.field("requests", pa.int32()),  # made for this row, retries included
        pa.field("seconds", pa.float32()),  # they took
        pa.field("sha256", pa.string()),  # hex, of the file's bytes; null unless ok
        pa.field("n_bytes", pa.int64()),  # of a too_large answer: the limit it exceeded
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
    ]
)


def download_stage(params: DownloadParams, compute: ComputeParams) -> RowStage:
    """The row stage that downloads; params only select, retry, or change its speed."""
    targets = parse_targets(compute.connect_to)
    return RowStage(
        name="download",
        fp=fingerprint(revision=REVISION),
        key=("url",),
        schema=SCHEMA,
        parts=PARTS,
        open=partial(open_crawl, params, compute, targets),
        attempt=params.attempt,
        stale=_stale(params),
    )


def _stale(params: DownloadParams) -> str:
    """Answers that these params would not have got."""
    larger = f"reason = '{Reason.too_large}' and n_bytes < {params.max_bytes}"
    return larger if params.robots else f"({larger}) or reason = '{Reason.robots}'"


def open_crawl(
    params: DownloadParams, compute: ComputeParams, targets: dict[str, tuple[str, int]], device: str
) -> Crawl:
    """A crawl for one run of the Streaming runner."""
    limits = Limits(
        max_bytes=params.max_bytes,
        total_s=compute.timeout_s,
        connect_s=compute.connect_timeout_s,
        read_s=compute.read_timeout_s,
    )
    client = Client(limits, params.user_agent, targets, robots=params.robots)
    policy = Policy(retries=params.retries, per_host=compute.per_host)
    fixed = None if compute.concurrency == "auto" else compute.concurrency
    return Crawl(client, policy, Concurrency(fixed))


def asked_rows(lake: Lake, params: DownloadParams) -> Selection:
    """The captions whose pictures are wanted."""
    types = ", ".join(f"'{name}'" for name in params.take)
    return Selection(lake["captions"].dataset(), f"spatial_type in ({types})")
