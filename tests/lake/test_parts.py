"""Parts of answers in datasets of their own: rows, kills, damage."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from spatialgen.lake.ids import h64
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import PartStore, part_columns
from spatialgen.lake.schemas import TableSpec, blob, column
from spatialgen.lake.store import Memo
from spatialgen.rows import engine
from spatialgen.rows.batcher import OUTCOME
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from spatialgen.rows.stage import RowStage

SPEC = TableSpec(
    name="echoes",
    stage="demo",
    key=("echo_id",),
    schema=pa.schema(
        [
            column("echo_id", pa.int64(), "h64 of the text"),
            column("words", pa.list_(pa.struct([pa.field("word", pa.string())])), "of it"),
            blob("text"),
            blob("shout", nullable=True),
        ]
    ),
)
SCHEMA = pa.schema([pa.field("length", pa.int64())])
TEXTS = [f"text {number}" for number in range(64)]
DEMO = Path(__file__)


def echo(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Texts as bytes; 7 fails for good, 13 takes its batch with it."""
    rows: list[dict[str, Any]] = []
    for key, text in zip(batch["key"].to_pylist(), batch["text"].to_pylist(), strict=True):
        if "13" in text:
            raise ValueError("13")
        if "7" in text:
            rows.append({"status": "permanent", "error": "seven"})
            continue
        shout = text.upper().encode() if text.endswith("0") else None
        words = [{"word": word} for word in text.split()]
        rows.append({"length": len(text), "echo_id": key, "words": words, "text": text.encode(),
                     "shout": shout, "status": "ok"})  # fmt: skip
    columns = pa.schema([*SCHEMA, *part_columns(SPEC), *OUTCOME])
    return pa.RecordBatch.from_pylist(rows, schema=columns)


STAGE = RowStage(
    name="demo",
    fp="fp",
    key=("text",),
    schema=SCHEMA,
    open=lambda device: echo,
    parts=part_columns(SPEC),
    batch_rows=4,
    window_rows=8,
)


def asked(texts: list[str]) -> pa.Table:
    return pa.table({"row_id": pa.array(range(len(texts)), pa.int64()), "text": texts})


def answer(lake: Lake, texts: list[str]) -> int:
    parts = PartStore(lake, SPEC)
    done = answer_rows(lake, STAGE, asked(texts), Inline("cpu"), attachments=parts, quiet=True)
    return done.computed


def kept(lake: Lake) -> lance.LanceDataset:
    return lake.stores()["echoes"]


def read(lake: Lake) -> dict[int, bytes]:
    """The texts in the store, by key."""
    dataset = kept(lake)
    keys = dataset.to_table(columns=["echo_id"])["echo_id"].to_pylist()
    found = dataset.read_blobs("text", indices=[*range(len(keys))], preserve_order=True)
    return dict(zip(keys, (content for _, content in found), strict=True))


def fit(texts: list[str]) -> dict[int, bytes]:
    """What the store should hold of these texts."""
    return {
        h64("fp", text): text.encode() for text in texts if "7" not in text and "13" not in text
    }


def test_parts_are_whole_rows_and_the_memo_holds_the_rest(lake):
    assert answer(lake, TEXTS) == 64
    assert read(lake) == fit(TEXTS)
    memo = lake.stores()["demo"]
    assert "text" not in memo.schema.names
    rows = {row["key"]: row for row in memo.to_table().to_pylist()}
    assert {key for key, row in rows.items() if row["status"] == "ok"} == set(read(lake))
    assert rows[h64("fp", "text 21")]["length"] == 7
    assert rows[h64("fp", "text 7")]["error"] == "seven"
    assert rows[h64("fp", "text 13")]["status"] == "transient"
    table = kept(lake).to_table(columns=["echo_id", "words"]).to_pylist()
    words = {row["echo_id"]: row["words"] for row in table}
    assert words[h64("fp", "text 21")] == [{"word": "text"}, {"word": "21"}]
    shouts = dict(kept(lake).read_blobs("shout", indices=[0, 1], preserve_order=True))
    assert [*shouts.values()] == [b"TEXT 0", None]


def test_a_second_run_adds_nothing_and_more_rows_only_themselves(lake):
    answer(lake, TEXTS[:20])
    files = {path.name for path in (Path(kept(lake).uri) / "data").iterdir()}
    assert answer(lake, TEXTS[:20]) == 0
    assert answer(lake, TEXTS) == 44
    after = {path.name for path in (Path(kept(lake).uri) / "data").iterdir()}
    assert files < after, "nothing is rewritten"
    assert read(lake) == fit(TEXTS)
    assert kept(lake).count_rows() == len(fit(TEXTS))


def test_published_parts_share_the_stores_files(lake):
    answer(lake, TEXTS)
    wanted = pa.table({"echo_id": pa.array(sorted(fit(TEXTS))[:5], pa.int64())})
    manifest = lake.publish_blobs(SPEC, kept(lake), wanted)
    assert manifest.rows == 5
    data = lake.root / "echoes.lance" / "data"
    assert all(path.stat().st_nlink > 1 for path in data.iterdir() if path.is_file())


def test_between_parts_and_memo_a_failure_costs_rows_twice_and_no_answer(lake, monkeypatch):
    append = Memo.append

    def lost(self, rows):
        del self, rows
        raise OSError("gone")

    monkeypatch.setattr(Memo, "append", lost)
    with pytest.raises(OSError, match="gone"):
        answer(lake, TEXTS)
    assert kept(lake).count_rows() > 0
    assert "demo" not in lake.stores()
    monkeypatch.setattr(Memo, "append", append)
    assert answer(lake, TEXTS) == 64
    assert read(lake) == fit(TEXTS)
    assert kept(lake).count_rows() > len(fit(TEXTS)), "some are there twice"
    wanted = pa.table({"echo_id": pa.array(sorted(fit(TEXTS)), pa.int64())})
    assert lake.publish_blobs(SPEC, kept(lake), wanted).rows == len(fit(TEXTS)), "published once"


def test_killed_at_any_commit_it_goes_on(lake):
    """A process kills itself at its n-th commit of parts: before it, or after."""
    for place in range(6):
        command = [sys.executable, "-m", "tests.lake.test_parts", str(lake.root), str(place)]
        killed = subprocess.run(command, cwd=DEMO.parents[2], check=False)
        assert killed.returncode == -signal.SIGKILL
        stores = lake.stores()
        answered = stores["demo"].to_table().to_pylist() if "demo" in stores else []
        known = {row["key"] for row in answered if row["status"] == "ok"}
        assert known <= (set(read(lake)) if "echoes" in stores else set())
    assert answer(lake, TEXTS) > 0
    assert read(lake) == fit(TEXTS)


class Fatal(PartStore):
    """Kills its process at commit `place // 2`, after it where place is odd."""

    place = 0
    commits = 0

    def commit(self) -> None:
        """Commit, and die."""
        last = self.commits == self.place // 2
        if last and self.place % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().commit()
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.commits += 1


if __name__ == "__main__":
    engine.COMMIT_SECONDS = 0.0  # each window
    root = Path(sys.argv[1])
    own = Lake(root, store=root.parent / ".lake")
    fatal = Fatal(own, SPEC)
    fatal.place = int(sys.argv[2])
    answer_rows(own, STAGE, asked(TEXTS), Inline("cpu"), attachments=fatal, quiet=True)
