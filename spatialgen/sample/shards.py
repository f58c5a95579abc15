"""Wukong-shaped CSV shards with the traits, good and bad, of the real ones."""

import csv
import io
import json
import random
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spatialgen.lake.ids import row_id
from spatialgen.params import SampleParams
from spatialgen.sample.captions import make_caption

REVISION = 2  # raise it when equal params would give other rows
HOST = "gimg2.sample.test"  # .test never resolves (RFC 6761)
DUPLICATE_SHARE = 0.01  # of rows that repeat an earlier row exactly
GOLD_ROWS = 2000
POSITION = re.compile("[左右上下前后旁边侧间中央里内外围角顶底背]")  # what reaches the filter
TRUTH_SCHEMA = pa.schema([pa.field("row_id", pa.int64()), pa.field("spatial_type", pa.string())])


def write_sample(params: SampleParams, folder: Path) -> dict[str, int]:
    """Write `csv/wukong_100m_*.csv`, `truth.parquet` and `gold.jsonl`; count what is in them.

    The truth is one row per distinct well-formed row: row_id, spatial_type. The gold is a random
    draw of distinct captions with a position word, as a person would label them to measure the
    filter. Equal params give equal bytes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "csv").mkdir(parents=True)
    rng = random.Random(params.seed)
    truth: dict[int, str] = {}
    counts = {"lines": 0, "damaged": 0, "duplicates": 0}
    earlier: list[tuple[str, str]] = []
    for shard in range(params.shards):
        rows = params.rows * (shard + 1) // params.shards - params.rows * shard // params.shards
        with (folder / "csv" / f"wukong_100m_{shard}.csv").open("wb") as file:
            file.write(b"url,caption\n")
            for _ in range(rows):
                counts["lines"] += 1
                caption, spatial_type = make_caption(rng, params.spatial_share)
                url = make_url(rng)
                if rng.random() < params.damaged_share:
                    counts["damaged"] += 1
                    file.write(make_damaged(rng, url, caption))
                    continue
                if earlier and rng.random() < DUPLICATE_SHARE:
                    counts["duplicates"] += 1
                    url, caption = rng.choice(earlier)
                else:
                    earlier.append((url, caption))
                    truth[row_id(url, caption)] = spatial_type
                file.write(as_csv(url, caption))
    ids = sorted(truth)
    table = pa.table([ids, [truth[i] for i in ids]], schema=TRUTH_SCHEMA)
    pq.write_table(table, folder / "truth.parquet", compression="zstd")
    captions = {caption: truth[row_id(url, caption)] for url, caption in earlier}
    write_gold(folder / "gold.jsonl", captions, rng)
    types = list(truth.values())
    return counts | {name: types.count(name) for name in ("strong", "weak", "none")}


def write_gold(path: Path, captions: dict[str, str], rng: random.Random) -> None:
    """Up to GOLD_ROWS captions with a position word, and their spatial_type, one JSON a line."""
    positioned = [caption for caption in captions if POSITION.search(caption)]
    with path.open("w", encoding="utf-8") as file:
        for caption in rng.sample(positioned, min(GOLD_ROWS, len(positioned))):
            row = {"caption": caption, "spatial_type": captions[caption]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def make_url(rng: random.Random) -> str:
    """A URL of the kinds that dominate Wukong: proxied, signed, with commas, without extension."""
    token = f"{rng.getrandbits(128):032x}"
    shape = rng.random()
    if shape < 0.5:
        return (
            f"http://{HOST}/image_search/src=http%3A%2F%2Fimg.zcool.test%2F{token[:16]}.jpg"
            f"&refer=http%3A%2F%2Fwww.zcool.test&app=2002&size=f9999,10000&q=a80&n=0&g=0n&fmt=jpeg"
            f"?sec={1_620_000_000 + rng.randrange(10**7)}&t={token}"
        )
    if shape < 0.8:
        return f"http://{HOST}/it/u={rng.getrandbits(32)},{rng.getrandbits(32)}&fm=26&gp=0.jpg"
    return f"http://{HOST}/n0/jfs/t1/{token}"


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
