"""A lake with captions whose URLs lead to a test server, and stage download over it."""

from pathlib import Path

import lance
import pyarrow as pa

from spatialgen.fetch.images import ImageStore
from spatialgen.fetch.publish import counts, publish_downloads, publish_images
from spatialgen.fetch.stage import asked_rows, download_stage
from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CAPTIONS
from spatialgen.params import DownloadParams, load_params
from spatialgen.rows.engine import Counts, answer_rows
from spatialgen.rows.streaming import Streaming
from tests.conftest import REPOSITORY, compute_params

HOST = "hostile.test"


def publish_captions(lake: Lake, rows: list[tuple[str, str]], spatial_type: str = "strong") -> None:
    """lake/captions of these (url, caption) rows."""
    by_id = sorted({row_id(*row): row for row in rows}.items())
    third = pa.repeat(pa.scalar(1 / 3, pa.float32()), len(by_id))
    columns = [
        pa.array([number for number, _ in by_id], pa.int64()),
        pa.array([url for _, (url, _) in by_id], pa.string()),
        pa.array([caption for _, (_, caption) in by_id], pa.string()),
        pa.repeat(spatial_type, len(by_id)),
        *(third, third, third),
        pa.repeat("test", len(by_id)),
        pa.nulls(len(by_id), pa.string()),
    ]
    lake.publish(CAPTIONS, [pa.record_batch(columns, schema=CAPTIONS.schema)])


def params(**changed: object) -> DownloadParams:
    """The repository's download section, with some values changed."""
    shipped = load_params(REPOSITORY / "params.yaml").download
    return shipped.model_copy(update={"min_side": 1, "retries": 0, **changed})


def download(
    lake: Lake, port: int, chosen: DownloadParams | None = None, **compute: object
) -> Counts:
    """Run the stage, as pipeline/download.py does."""
    chosen = chosen or params()
    speed = {"timeout_s": 3, "read_timeout_s": 1, "connect_to": {HOST: f"127.0.0.1:{port}"}}
    stage = download_stage(chosen, compute_params(**(speed | compute)))
    done = answer_rows(
        lake,
        stage,
        asked_rows(lake, chosen),
        Streaming(),
        attachments=ImageStore(lake),
        quiet=True,
    )
    publish_downloads(lake, stage, chosen)
    publish_images(lake)
    assert counts(lake)["rows"] == done.asked
    return done


def url(path: str) -> str:
    """Of the test server."""
    return f"http://{HOST}{path}"


def rows_of(lake: Lake, table: str) -> list[dict[str, object]]:
    """A published table."""
    columns = [name for name in lake[table].dataset().schema.names if name != "image"]
    found: list[dict[str, object]] = lake[table].dataset().to_table(columns=columns).to_pylist()
    return found


def by_url(lake: Lake) -> dict[str, dict[str, object]]:
    """lake/downloads by URL."""
    urls = {row["row_id"]: str(row["url"]) for row in rows_of(lake, "captions")}
    return {urls[row["row_id"]]: row for row in rows_of(lake, "downloads")}


def files(lake: Lake) -> dict[str, bytes]:
    """The bytes of lake/images by sha256."""
    dataset: lance.LanceDataset = lake["images"].dataset()
    names = dataset.to_table(columns=["sha256"])["sha256"].to_pylist()
    blobs = dataset.read_blobs("image", indices=list(range(len(names))), preserve_order=True)
    return dict(zip(names, [data for _, data in blobs], strict=True))


def store_fragments(lake: Lake) -> int:
    """Fragments of the pictures' dataset in the store."""
    return len(lance.dataset(str(Path(lake.store_root) / "store" / "images.lance")).get_fragments())
