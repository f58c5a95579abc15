"""Lance encodings of pictures: CPU per picture to write them, and their size on disk.

python -m tests.benchmarks.encoding
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
from lance.fragment import write_fragments

from spatialgen.lake.links import files_under
from spatialgen.lake.parts import as_blobs
from spatialgen.lake.schemas import IMAGES
from tests.benchmarks.harness import median, report, workspace
from tests.benchmarks.picture_server import pictures

COPIES, ROUNDS, BATCH = 10, 5, 100
NONE = {"lance-encoding:compression": "none"}


def columns() -> dict[str, pa.Field]:
    """The column of the images table, and what it might have been."""
    return {
        "blob, as shipped": IMAGES.schema.field("image"),
        "blob, default": lance.blob_field("image"),
        "binary, default": pa.field("image", pa.large_binary()),
        "binary, none": pa.field("image", pa.large_binary(), metadata=NONE),
    }


def batches(column: pa.Field, schema: pa.Schema, files: list[bytes]) -> Iterator[pa.RecordBatch]:
    """What the image store writes, but for its other columns."""
    is_binary = pa.types.is_large_binary(column.type)
    for start in range(0, len(files), BATCH):
        part = files[start : start + BATCH]
        image = pa.array(part, pa.large_binary())
        names = pa.array([hashlib.sha256(data).hexdigest() for data in part])
        yield pa.RecordBatch.from_arrays(
            [names, image if is_binary else as_blobs(image)], schema=schema
        )


def cpu_seconds() -> float:
    """Of this process, all threads."""
    times = os.times()
    return times.user + times.system


def main() -> None:
    files = [data + bytes([n]) for n in range(COPIES) for data in pictures()]
    total = sum(map(len, files))
    spent: dict[str, list[float]] = {name: [] for name in columns()}
    sizes: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, column in columns().items():
            schema = pa.schema([pa.field("sha256", pa.string()), column])
            made = list(batches(column, schema, files))
            with workspace() as folder:
                path: Path = folder / "images.lance"
                lance.write_dataset(schema.empty_table(), str(path), schema=schema)
                before = cpu_seconds()
                reader = pa.RecordBatchReader.from_batches(schema, iter(made))
                write_fragments(reader, str(path), schema=schema, mode="append")
                spent[name].append((cpu_seconds() - before) / len(files) * 1e6)
                sizes[name] = sum(file.stat().st_size for file in files_under(path)) / total
    us = {name: median(values) for name, values in spent.items()}
    report(
        "encoding",
        {"pictures": len(files), "us": us, "size_over_files": sizes},
        {"no other is cheaper by a tenth": us["blob, as shipped"] <= 1.1 * min(us.values())},
    )


if __name__ == "__main__":
    main()
