"""What the shipped queries answer: each is asked once, by the page and by the plots alike."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from spatialgen.errors import InputError, QueryError
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import TABLES
from spatialgen.lake.sql import parse_params, run_query


@dataclass(frozen=True)
class Answer:
    """What the query in the file `query` gives with `params`; `table` is None where a table that it
    reads has yet to be made, by `stage`.
    """

    query: str
    params: Mapping[str, Any]
    table: pa.Table | None
    stage: str | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Its rows by column name; none where there is no table."""
        return [] if self.table is None else list(self.table.to_pylist())


class Answers:
    """What the queries in `folder` say of `lake` with their default params, by their file's name
    without .sql.
    """

    def __init__(self, lake: Lake, folder: Path = Path("queries")) -> None:
        self.lake = lake
        self.folder = folder
        self._known: dict[str, Answer] = {}

    def __getitem__(self, name: str) -> Answer:
        if name not in self._known:
            self._known[name] = self._ask(self.folder / f"{name}.sql")
        return self._known[name]

    def _ask(self, path: Path) -> Answer:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(f'{path} is missing; restore it with "git checkout {path}"') from None
        shown, params = f"{self.folder.name}/{path.name}", parse_params(text, {})
        try:
            (table,) = run_query(self.lake, text, {})
        except QueryError:
            if (stage := next(self._unmade(text), None)) is None:
                raise
            return Answer(shown, params, None, stage)
        return Answer(shown, params, table)

    def _unmade(self, text: str) -> Iterator[str]:
        """Stages of the tables that a query names and that do not exist."""
        for spec in TABLES.values():
            if spec.name in text and not self.lake[spec.name].exists:
                yield spec.stage


def write_plots(answers: Answers, names: Sequence[str], folder: Path) -> None:
    """Write each query's rows as <name>.csv, for `dvc plots`; none where a table is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        table = answers[name].table
        if table is None:
            continue
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=table.column_names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table.to_pylist())
