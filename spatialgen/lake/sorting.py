"""Sorting more rows than memory holds."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BUCKET_BITS = 7  # 128 buckets: 100 M rows of 200 bytes are 160 MB a bucket


def sort_rows(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, tie_break: str, folder: Path
) -> Iterator[pa.RecordBatch]:
    """`batches` by `row_id`, equal ones by `tie_break`; memory stays at one bucket.

    Row ids are hashes, so their highest bits cut the rows into buckets of equal size: these go to
    files in `folder`, and are sorted and yielded one after the other. Unlike a sort under a memory
    limit, this needs the same little memory for any number of rows.
    """
    paths = [folder / f"bucket-{number}.arrow" for number in range(2**BUCKET_BITS)]
    with ExitStack() as stack:
        files = [stack.enter_context(pa.ipc.new_stream(str(path), schema)) for path in paths]
        for batch in batches:
            bucket = (batch["row_id"].to_numpy() >> (64 - BUCKET_BITS)) + 2 ** (BUCKET_BITS - 1)
            order = np.argsort(bucket, kind="stable")
            grouped = batch.take(pa.array(order))
            borders = np.searchsorted(bucket[order], np.arange(len(files) + 1))
            for file, start, end in zip(files, borders[:-1], borders[1:], strict=True):
                if start < end:
                    file.write_batch(grouped.slice(start, end - start))
    for path in paths:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_stream(file).read_all()
            order = pc.sort_indices(
                table, sort_keys=[("row_id", "ascending"), (tie_break, "ascending")]
            )
            yield from table.take(order).combine_chunks().to_batches()
        path.unlink()
