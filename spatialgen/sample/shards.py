"""The sample web: Wukong-shaped CSV shards with the traits, good and bad, of the real ones, the
pictures behind their URLs, and the truth about both."""

import csv
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from spatialgen.errors import InputError
from spatialgen.lake.ids import row_id
from spatialgen.params import SampleParams
from spatialgen.sample.generator_data import core_web_view
from spatialgen.sample.urls import PICTURES, fate_of, make_url, path_of
from spatialgen.sample.world.pictures import as_jpeg
from spatialgen.sample.world.view import TRUTH_FIELDS, web_view

REVISION = 3  # raise it when equal params would give other rows
DUPLICATE_SHARE = 0.01  # of rows that repeat an earlier row exactly
GOLD_ROWS = 2000
POSITION = re.compile("[左右上下前后旁边侧间中央里内外围角顶底背]")  # what reaches the filter
PICTURES_SCHEMA = pa.schema([pa.field("path", pa.string()), pa.field("jpeg", pa.binary())])
TRUTH_SCHEMA = pa.schema(
    [
        pa.field("row_id", pa.int64()),
        *TRUTH_FIELDS,
        pa.field("answer", pa.string()),  # of the URL: picture, or a name of urls.FAULTS
    ]
)
CHUNK = 500  # rows that a process draws, or that are written, at once

Row = tuple[dict[str, Any], bytes]  # caption and truth, and the picture


def write_sample(params: SampleParams, folder: Path, workers: int = 0) -> dict[str, int]:
    """Write the web of `params` to `folder`, and count what is in it.

    `csv/wukong_100m_*.csv`: the shards. `pictures.arrow`: by path, what the URLs of HOST show.
    `truth.parquet`: of each distinct well-formed row, see TRUTH_SCHEMA; where its URL answers
    `removed`, `thumbnail` or nothing, it is the truth of a picture that is not served.
    `gold.jsonl`: a random draw of distinct captions with a position word and their spatial_type, as
    a person would label them to measure the filter. Equal params give equal bytes, whatever the
    number of worker processes (0: one per core) and with one version of Pillow. The folder is
    there when all of it is.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    with draw_rows(params, workers) as rows:
        counts = write_web(params, part, rows)
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
    os.replace(part, folder)
    return counts


def write_web(params: SampleParams, folder: Path, rows: Iterable[Row]) -> dict[str, int]:
    """Put `rows` behind URLs and write them, some damaged, some twice; counts."""
    (folder / "csv").mkdir(parents=True)
    rng = random.Random(params.seed)
    rows = iter(rows)
    counts = {"lines": 0, "damaged": 0, "duplicates": 0}
    truth: dict[int, dict[str, Any]] = {}
    earlier: list[tuple[str, str]] = []
    with PictureFile(folder / PICTURES) as pictures:
        for shard in range(params.shards):
            size = params.rows * (shard + 1) // params.shards - counts["lines"]
            with (folder / "csv" / f"wukong_100m_{shard}.csv").open("wb") as file:
                file.write(b"url,caption\n")
                for _, (fields, jpeg) in zip(range(size), rows, strict=False):
                    counts["lines"] += 1
                    caption = fields["caption"]
                    url = url_of(counts["lines"], caption, jpeg)
                    if rng.random() < params.damaged_share:
                        counts["damaged"] += 1
                        file.write(make_damaged(rng, url, caption))
                        continue
                    if earlier and rng.random() < DUPLICATE_SHARE:
                        counts["duplicates"] += 1
                        url, caption = rng.choice(earlier)
                    else:
                        earlier.append((url, caption))
                        path = path_of(url)
                        truth[row_id(url, caption)] = {**fields, "answer": fate_of(path)}
                        pictures.add(path, jpeg)
                    file.write(as_csv(url, caption))
    write_truth(folder / "truth.parquet", truth)
    types = {caption: truth[row_id(url, caption)]["spatial_type"] for url, caption in earlier}
    write_gold(folder / "gold.jsonl", types, rng)
    found = [fields["spatial_type"] for fields in truth.values()]
    return counts | {name: found.count(name) for name in ("strong", "weak", "none")}


def url_of(line: int, caption: str, jpeg: bytes) -> str:
    """A URL that follows from what it shows: another picture is never taken for one fetched
    before."""
    content = hashlib.md5(jpeg + caption.encode(), usedforsecurity=False).digest()
    return make_url(random.Random(b"%d/" % line + content))


class PictureFile:
    """Writes pictures by path, in batches, so that few are in memory and reading is quick."""

    def __init__(self, path: Path) -> None:
        self._file = pa.ipc.new_file(str(path), PICTURES_SCHEMA)
        self._batch: list[dict[str, Any]] = []

    def add(self, path: str, jpeg: bytes) -> None:
        """Keep a picture."""
        self._batch.append({"path": path, "jpeg": jpeg})
        if len(self._batch) == CHUNK:
            self._flush()

    def _flush(self) -> None:
        self._file.write_batch(pa.RecordBatch.from_pylist(self._batch, PICTURES_SCHEMA))
        self._batch.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()


@contextmanager
def draw_rows(params: SampleParams, workers: int = 0) -> Iterator[Iterator[Row]]:
    """The rows of `params` in order, drawn by worker processes as they are taken."""
    starts = range(0, params.rows, CHUNK)
    workers = min(workers or os.cpu_count() or 1, len(starts))
    # Spawned: this process may hold threads of DuckDB and Lance, which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_end_with_parent)
    try:
        yield _in_order(pool, params, starts, ahead=2 * workers)
    except BrokenProcessPool:
        raise InputError(
            "a process that draws the sample was killed, perhaps for its memory; run again with "
            "compute.threads: 1 in params.yaml"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, params: SampleParams, starts: Sequence[int], ahead: int
) -> Iterator[Row]:
    """Rows by chunk, with few chunks drawn ahead of those that are taken."""
    drawn: deque[Future[list[Row]]] = deque()
    for start in starts:
        drawn.append(pool.submit(_draw_chunk, params, start))
        if len(drawn) > ahead:
            yield from drawn.popleft().result()
    while drawn:
        yield from drawn.popleft().result()


def _end_with_parent() -> None:
    """Workers of a killed process would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _draw_chunk(params: SampleParams, start: int) -> list[Row]:
    rows = []
    for index in range(start, min(start + CHUNK, params.rows)):
        drawn = random.Random(f"spatialgen core/{params.seed}/{index}").random()
        make = core_web_view if drawn < params.core_share else web_view
        view = make("corpus", params.seed, index, params.spatial_share)
        rows.append(({"caption": view.situation.caption, **view.truth()}, as_jpeg(view.draw())))
    return rows


def write_truth(path: Path, truth: Mapping[int, Mapping[str, Any]]) -> None:
    """Rows of TRUTH_SCHEMA by row_id."""
    rows = [{"row_id": key, **truth[key]} for key in sorted(truth)]
    pq.write_table(pa.Table.from_pylist(rows, TRUTH_SCHEMA), path, compression="zstd")


def write_gold(path: Path, captions: dict[str, str], rng: random.Random) -> None:
    """Up to GOLD_ROWS captions with a position word, and their spatial_type, one JSON a line."""
    positioned = [caption for caption in captions if POSITION.search(caption)]
    with path.open("w", encoding="utf-8") as file:
        for caption in rng.sample(positioned, min(GOLD_ROWS, len(positioned))):
            row = {"caption": caption, "spatial_type": captions[caption]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def as_csv(url: str, caption: str) -> bytes:
    """One well-formed CSV line."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([url, caption])
    return line.getvalue().encode()


def make_damaged(rng: random.Random, url: str, caption: str) -> bytes:
    """One line that no reader can take for a row."""
    plain = caption.replace('"', "").replace(",", "，")
    kind = rng.randrange(7)
    if kind == 0:
        return f'"{url}"\n'.encode()  # no caption at all
    if kind == 1:
        return f'"{url}",{plain},{rng.randrange(10**6)}\n'.encode()  # a third column
    if kind == 2:
        return f'"{url}","{plain}\n'.encode()  # the closing quote is missing
    if kind == 3:
        return f'"{url}",'.encode() + plain.encode("gb18030")[:-1] + b"\xff\n"  # no UTF-8
    if kind == 4:
        return f'"{url}","{plain}"元\n'.encode()  # text behind the closing quote
    return f'"{url}",\n'.encode() if kind == 5 else f",{plain}\n".encode()
