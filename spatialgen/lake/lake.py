"""`Lake`: the published tables of a project, and the store behind them.

>>> lake = Lake()
>>> lake["candidates"].count_rows()
>>> lake.sql("select count(*) from candidates where caption like '%左边%'")
"""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from spatialgen.errors import LakeError
from spatialgen.lake.links import files_under
from spatialgen.lake.manifest import Manifest
from spatialgen.lake.publish import publish_fragments, publish_rows, sidecar
from spatialgen.lake.schemas import RUNS_SCHEMA, TABLES, TableSpec
from spatialgen.lake.store import Dataset, Memo
from spatialgen.project import find_root, store_root

logger = logging.getLogger(__name__)

DOCUMENT_FOLDERS = ("lake", "metrics")  # whose JSON files are in git, and in SQL's `metrics`


@dataclass
class Run:
    """What a stage run counts; see RUNS_SCHEMA."""

    stage: str
    fp: str
    rows_total: int = 0
    rows_reused: int = 0
    rows_computed: int = 0
    rows_failed: int = 0
    device_s: float = 0.0
    waited_s: float = 0.0

    def add(
        self,
        *,
        asked: int,
        reused: int,
        computed: int,
        failed: int,
        device_s: float,
        waited_s: float,
    ) -> None:
        """Add what the row engine counted."""
        self.rows_total += asked
        self.rows_reused += reused
        self.rows_computed += computed
        self.rows_failed += failed
        self.device_s += device_s
        self.waited_s += waited_s


class Lake:
    """The tables in `root` (default: lake/ of the project) and their store.

    `store` defaults to $SPATIALGEN_STORE, else .lake in the project.
    """

    def __init__(self, root: str | Path | None = None, *, store: str | Path | None = None) -> None:
        self.root = Path(root) if root else find_root() / "lake"
        self.store_root = Path(store) if store else store_root(self.root.absolute().parent)

    def __repr__(self) -> str:
        return f"<Lake {self.root}: {', '.join(self.tables()) or 'no tables yet'}>"

    def __getitem__(self, name: str) -> "Table":
        return Table(self, name)

    def tables(self) -> list[str]:
        """Names of the tables that have a manifest here."""
        return sorted(path.stem for path in self.root.glob("*.json"))

    def manifest(self, table: str) -> Manifest:
        """What a table holds, once it agrees with its manifest."""
        return self[table].manifest

    def path(self, table: str) -> Path:
        """The folder of a table, once it agrees with its manifest."""
        self[table].dataset()
        return self[table].path

    def documents(self) -> dict[str, str]:
        """Texts of lake/*.json and metrics/*.json, by path without .json."""
        project = self.root.absolute().parent
        return {
            f"{folder}/{path.stem}": path.read_text(encoding="utf-8")
            for folder in DOCUMENT_FOLDERS
            for path in sorted((project / folder).glob("*.json"))
        }

    def stores(self) -> dict[str, lance.LanceDataset]:
        """The store's datasets by name."""
        found = {}
        for path in sorted((self.store_root / "store").glob("*.lance")):
            try:
                found[path.stem] = lance.dataset(str(path))
            except (OSError, ValueError) as error:
                logger.warning("%s is left out: it is no dataset (%s)", path, error)
        return found

    @property
    def published(self) -> Path:
        """Where every version of every table is kept once, by content digest."""
        return self.store_root / "published"

    @property
    def spill(self) -> Path:
        """Where queries that outgrow memory keep their overflow."""
        return self.store_root / "spill"

    def stored(self, name: str, schema: pa.Schema) -> Dataset:
        """The store's dataset of this name."""
        return Dataset(self.store_root / "store" / f"{name}.lance", schema)

    def memo(self, name: str, result_schema: pa.Schema) -> Memo:
        """The store's memo of this row stage."""
        return Memo(self.store_root / "store" / f"{name}.lance", result_schema)

    def publish(self, spec: TableSpec, batches: Iterable[pa.RecordBatch]) -> Manifest:
        """Publish a table from rows in key order; see publish_rows."""
        return publish_rows(spec, batches, self.published, self[spec.name].path)

    def publish_blobs(
        self, spec: TableSpec, store: lance.LanceDataset, wanted: pa.Table
    ) -> Manifest:
        """Publish a blob table from the store's own files; see publish_fragments."""
        return publish_fragments(spec, store, wanted, self.published, self[spec.name].path)

    @contextmanager
    def run(self, stage: str, fp: str) -> Iterator[Run]:
        """Record one stage run in the store's `runs`, once it has succeeded."""
        run = Run(stage, fp)
        started, clock = datetime.now(UTC), time.perf_counter()
        yield run
        seconds = time.perf_counter() - clock
        row = {
            **vars(run),
            "started": started,
            "seconds": seconds,
            "rows_per_s": run.rows_computed / seconds,
        }
        self.stored("runs", RUNS_SCHEMA).append(pa.Table.from_pylist([row], schema=RUNS_SCHEMA))

    def sql(self, query: str, **params: Any) -> pa.Table:
        """Run one read-only query over all tables; `$name` in it takes `params[name]`."""
        from spatialgen.lake.sql import run_query  # no stage needs it, so none depends on it

        (result,) = run_query(self, query, params)
        return result


class Table:
    """One published table; it may not exist yet."""

    def __init__(self, lake: Lake, name: str) -> None:
        self.lake = lake
        self.name = name
        self.path = lake.root / f"{name}.lance"
        self.manifest_path = lake.root / f"{name}.json"

    def __repr__(self) -> str:
        manifest = Manifest.read(self.manifest_path)
        state = f"{manifest.rows} rows" if manifest else "does not exist yet"
        return f"<Table {self.name}: {state}>"

    @property
    def exists(self) -> bool:
        """Whether the table or its manifest is there."""
        return self.path.exists() or self.manifest_path.exists()

    @property
    def manifest(self) -> Manifest:
        """The manifest in git, once it agrees with the table's own."""
        return self.check()

    def check(self) -> Manifest:
        """The manifest in git; raises LakeError where the table is missing or apart from it."""
        stage = TABLES[self.name].stage if self.name in TABLES else self.name
        declared, held = Manifest.read(self.manifest_path), sidecar(self.path)
        if declared is None:
            raise LakeError(f'{self.manifest_path} is missing; run "dvc repro {stage}"')
        if held is None:
            raise LakeError(
                f'{self.path} is missing; run "dvc checkout" (or "dvc pull" where another machine '
                f'made it, or "dvc repro {stage}" to make it here)'
            )
        if held != declared:
            raise LakeError(
                f"{self.path} holds {held.rows} rows of digest {held.digest[:12]}, its manifest "
                f'says {declared.rows} of {declared.digest[:12]}; run "dvc checkout"'
            )
        return declared

    def dataset(self) -> lance.LanceDataset:
        """The Lance dataset, once it agrees with its manifest."""
        self.check()
        try:
            return lance.dataset(str(self.path))
        except (OSError, ValueError) as error:
            raise LakeError(
                f"{self.path} is damaged ({str(error).splitlines()[0][:200]}); "
                f'run "dvc checkout --force {self.path}"'
            ) from None

    def count_rows(self) -> int:
        """Rows of the table."""
        return self.manifest.rows

    def n_bytes(self) -> int:
        """Size on disk, bytes; files shared with the store and DVC's cache count here too."""
        return sum(path.stat().st_size for path in files_under(self.path))
