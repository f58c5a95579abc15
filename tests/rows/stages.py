"""A row stage whose answers are known: the length of a caption, and what goes wrong on demand."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from spatialgen.rows.stage import BatchFunction, RowStage

SCHEMA = pa.schema([pa.field("length", pa.int64(), nullable=True)])


class DeviceOutOfMemoryError(RuntimeError):
    """Says what CUDA says."""

    def __init__(self) -> None:
        super().__init__("CUDA error: out of memory")


@dataclass
class Lengths:
    """A batch function that counts characters; `check` sees the captions first and may raise."""

    check: Callable[[list[str]], None] = lambda captions: None
    batches: list[list[str]] = field(default_factory=list)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        captions = batch["caption"].to_pylist()
        self.batches.append(captions)
        self.check(captions)
        return pa.record_batch([pa.array(map(len, captions), pa.int64())], schema=SCHEMA)

    @property
    def asked(self) -> list[str]:
        """All captions seen, in order."""
        return [caption for batch in self.batches for caption in batch]


def stage_of(function: BatchFunction, **options: object) -> RowStage:
    """A stage around `function`, with small batches and windows."""
    chosen = {"batch_rows": 4, "window_rows": 16, "sizes": characters, **options}
    return RowStage("demo", "fp", ("caption",), SCHEMA, lambda device: function, **chosen)  # type: ignore[arg-type]


def characters(rows: pa.RecordBatch) -> object:
    """The size of a row."""
    return pc.utf8_length(rows["caption"]).to_numpy().astype("int64")


def table_of(captions: list[str]) -> pa.Table:
    """An input table, a url per caption, in row_id order."""
    rows = sorted((row_id(str(number), text), text) for number, text in enumerate(captions))
    schema = pa.schema([("row_id", pa.int64()), ("caption", pa.string())])
    columns = list(zip(*rows, strict=True)) or [(), ()]
    return pa.table([pa.array(c, t) for c, t in zip(columns, schema.types, strict=True)], schema)


def answers(lake: Lake, stage: RowStage) -> list[dict[str, object]]:
    """Everything that the memo holds."""
    dataset = lake.memo(stage.name, stage.schema).open()
    rows: list[dict[str, object]] = dataset.to_table().to_pylist() if dataset else []
    return rows


def _slow(log: Path, seconds: float, device: str) -> BatchFunction:
    def answer(batch: pa.RecordBatch) -> pa.RecordBatch:
        time.sleep(seconds)
        with log.open("a") as file:
            file.write(json.dumps(batch["caption"].to_pylist()) + "\n")
        return Lengths()(batch)

    return answer


def main() -> None:
    """Answer so many rows slowly, in a lake at this folder, with commits every moment."""
    folder, rows, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    lake = Lake(folder / "lake", store=folder / ".lake")
    stage = stage_of(Lengths())
    slow = replace(stage, open=partial(_slow, folder / f"{sys.argv[4]}.jsonl", seconds))
    print(vars(answer_rows(lake, slow, table_of([f"猫{n}" for n in range(rows)]), Inline())))


if __name__ == "__main__":
    from spatialgen.project import guard
    from spatialgen.rows import engine

    engine.COMMIT_SECONDS = 0.0
    guard(main)
