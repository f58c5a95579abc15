"""What `spatialgen import` prints."""

import re
import shlex
from pathlib import Path

import pyarrow as pa

from spatialgen.exchange.imports import BOXES, SHARD, Imported


def count_lines(done: Imported) -> pa.Table:
    """The lines by what became of them."""
    counts = {
        "lines": done.lines,
        "samples": done.samples,
        "with boxes": done.with_objects,
        "URLs new to the store": done.new_urls,
        **{f"rejected: {reason}": count for reason, count in sorted(done.rejects.items())},
    }
    return pa.table({"what": [*counts], "count": pa.array(counts.values(), pa.int64())})


def next_command(done: Imported, out: Path) -> str:
    """What takes the rows of an import through the pipeline."""
    params = {"candidates.csv": out.resolve() / SHARD}
    if done.with_objects:
        params["annotate.given"] = out.resolve() / BOXES
    flags = [f"-S {shlex.quote(f'{name}={_for_hydra(path)}')}" for name, path in params.items()]
    return " ".join(["dvc exp run", *flags])


def _for_hydra(path: Path) -> str:
    """A path as a value of -S, which Hydra reads: it wants all but plain ones quoted."""
    if re.fullmatch(r"[\w./-]+", str(path), re.ASCII):
        return str(path)
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
