"""What the checks of the data found, as the report shows it: metrics/checks.csv, offenders.csv."""

import csv
import heapq
from dataclasses import dataclass
from pathlib import Path

from spatialgen.errors import InputError
from spatialgen.lake.ids import h64


@dataclass(frozen=True)
class Check:
    """A row of checks.csv; `state` is passed, warned or failed."""

    check: str
    state: str
    value: str
    limit: str
    question: str
    message: str


@dataclass(frozen=True)
class Offender:
    """A row of offenders.csv: what `check` found; `row_id` is None where it is no caption's row."""

    check: str
    row_id: int | None
    row: str


def read_checks(folder: Path) -> list[Check] | None:
    """The checks in their order; None where none has run."""
    rows = _read(folder / "checks.csv", tuple(Check.__annotations__))
    return None if rows is None else [Check(**row) for row in rows]


def sample_offenders(folder: Path, count: int, seed: int) -> dict[str, list[Offender]]:
    """At most `count` of each check's, drawn by a hash of seed and row."""
    found: dict[str, list[Offender]] = {}
    for row in _read(folder / "offenders.csv", tuple(Offender.__annotations__)) or []:
        row_id = int(row["row_id"]) if row["row_id"] else None
        found.setdefault(row["check"], []).append(Offender(row["check"], row_id, row["row"]))
    return {
        check: heapq.nsmallest(count, rows, key=lambda each: h64(str(seed), _identity(each)))
        for check, rows in found.items()
    }


def _identity(offender: Offender) -> str:
    return offender.row if offender.row_id is None else str(offender.row_id)


def _read(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]] | None:
    if not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if lacking := set(columns) - set(reader.fieldnames or ()):
            raise InputError(f'{path} lacks {sorted(lacking)[0]}; run "dvc repro check" again')
        return [{name: row[name] or "" for name in columns} for row in reader]
