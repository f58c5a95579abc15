"""Sets of pictures with captions and boxes, and the pipeline behind an import of one."""

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from spatialgen.candidates import prefilter
from spatialgen.exchange.forms import Unit
from spatialgen.exchange.imports import BOXES, SHARD, Imported, import_samples
from spatialgen.fetch.images import ImageStore
from spatialgen.fetch.publish import publish_downloads, publish_images
from spatialgen.fetch.stage import asked_rows as asked_urls
from spatialgen.fetch.stage import download_stage
from spatialgen.grounding.gold import read_given
from spatialgen.grounding.publish import publish_boxes
from spatialgen.grounding.stage import annotate_stage, asked_rows, with_question
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CAPTIONS
from spatialgen.params import Params, load_params
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from spatialgen.rows.streaming import Streaming
from spatialgen.splits import publish_splits
from tests.conftest import REPOSITORY, Project

LEFT, RIGHT = [0.1, 0.25, 0.4, 0.75], [0.6, 0.25, 0.9, 0.75]


def draw(seed: int, size: tuple[int, int] = (160, 140), format: str = "JPEG") -> bytes:
    """A picture like no other: soft noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(buffer, format)
    return buffer.getvalue()


def boxed(**boxes: list[float]) -> list[dict[str, object]]:
    return [{"name": name, "bbox": box} for name, box in boxes.items()]


def write_set(folder: Path, lines: Sequence[object], pictures: dict[str, bytes]) -> Path:
    """A folder with set.jsonl of these lines, and its pictures by path."""
    for path, content in pictures.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "set.jsonl").open("wb") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else json.dumps(line).encode())
            file.write(b"\n")
    return folder


def many(folder: Path, rows: int, size: tuple[int, int] = (160, 140)) -> Path:
    """A set of so many rows, each with a picture of its own, every third with a URL."""
    pictures = {f"images/{n}.jpg": draw(n, size) for n in range(rows)}
    lines: list[object] = []
    for n, path in enumerate(pictures):
        url = {"url": f"https://a.test/{n}.jpg?a=1,2"} if n % 3 == 0 else {}
        boxes = boxed(小猫=[0.1, 0.2, 0.3, 0.4 + n / rows / 2], 箱子=RIGHT)
        caption = f"第{n}只小猫在箱子的左边"
        lines.append({"image_path": path, "caption": caption, "objects": boxes, **url})
    return write_set(folder, lines, pictures)


def params(out: Path | None = None, changed: dict[str, object] | None = None) -> Params:
    """The repository's, for an import that has been written to `out`."""
    ours: dict[str, object] = {"annotate.gold": None, "compute.threads": 1}
    if out is not None:
        ours |= {"candidates.csv": str(out / SHARD), "annotate.given": str(out / BOXES)}
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "prompt.txt")
    return load_params(
        REPOSITORY / "params.yaml", ours | {"annotate.prompt": prompt} | (changed or {})
    )


def take_in(
    lake: Lake,
    source: Path,
    out: Path,
    unit: Unit = Unit.unit,
    changed: dict[str, object] | None = None,
) -> Imported:
    """Import with the repository's params, some of them changed."""
    return import_samples(lake, source, out, params(changed=changed), unit=unit)


def refuse(*_: object) -> None:
    raise AssertionError("nothing is to be asked")


def publish_all(lake: Lake, out: Path) -> None:
    """The stages from candidates to split, every caption strong. Neither the web nor a model is
    asked."""
    chosen = params(out)
    counts = prefilter(lake, chosen.candidates, chosen.compute, quiet=True)
    assert counts.rejected == counts.unmatched == counts.duplicates == 0, counts
    rows = lake["candidates"].dataset().to_table()
    ones = {"p_strong": 1.0, "p_weak": 0.0, "p_none": 0.0, "spatial_type": "strong", "tier": "all"}
    columns = [
        rows[field.name] if field.name in rows.schema.names
        else pa.array([ones.get(field.name)] * rows.num_rows, field.type)
        for field in CAPTIONS.schema
    ]  # fmt: skip
    table = pa.Table.from_arrays(columns, schema=CAPTIONS.schema)
    lake.publish(CAPTIONS, table.to_batches())
    download = replace(download_stage(chosen.download, chosen.compute), open=refuse)
    asked = asked_urls(lake, chosen.download)
    done = answer_rows(lake, download, asked, Streaming(), attachments=ImageStore(lake), quiet=True)
    assert (done.asked, done.computed) == (rows.num_rows, 0)
    publish_downloads(lake, download, chosen.download)
    publish_images(lake)
    stage = annotate_stage(chosen.annotate, chosen.compute, lake.path("images"))
    given = read_given(chosen.annotate)
    views = asked_rows(lake, chosen.annotate, given)
    stage = replace(stage, open=refuse)
    answer_rows(lake, stage, with_question(views["plain"]), Inline("cpu"), quiet=True)
    publish_boxes(lake, stage, views, chosen.annotate, given)
    publish_splits(lake, chosen.split)


def samples_of(lake: Lake) -> dict[int, dict[str, object]]:
    """What the lake holds of each row."""
    rows = lake.sql(
        "select row_id, url, caption, sha256, width, height, format, spatial_agree, boxes.error, "
        "[{'name': o.name, 'bbox': o.bbox} for o in objects] as objects "
        "from boxes join captions using (row_id) join images using (sha256)"
    ).to_pylist()
    return {row["row_id"]: row for row in rows}


def bare_project(root: Path) -> Project:
    """A folder that commands take for a project; nothing has run."""
    root.mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / "spatialgen").symlink_to(REPOSITORY / "spatialgen")  # whatever else is installed
    return Project(root)
