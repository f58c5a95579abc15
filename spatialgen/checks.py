"""Checks: questions to the tables whose answers must be right before anything is trained on them.

A check is a .sql file: one query, and a header of comments. The first line is the question, `--
name = value` lines say what is asked of the answer:

    kind       rows: the query returns offending rows; value: a single number
    tolerated  offending rows, at most (kind rows; 0 unless given)
    min, max   of the number (kind value; one of them, or both)
    severity   stop: a violation stops the pipeline (unless given); warn: it is only told

Null as the number means that nothing could be measured, and is a warning. `$names` are values of
params.yaml, `$split_max_group` for split.max_group; `committed.*` are the tables and metrics of the
last commit.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spatialgen.errors import CheckError, InputError, QueryError
from spatialgen.lake.history import committed
from spatialgen.lake.lake import Lake
from spatialgen.lake.sql import run_query
from spatialgen.metrics import write_metrics
from spatialgen.params import Params

State = Literal["passed", "warned", "failed"]
SETTING = re.compile(r"^-- (\w+) = (.+)$", re.MULTILINE)
PARAM = re.compile(r"\$(\w+)")
COUNT = "offending_rows"  # a column beside the offending rows' own
OFFENDING = (
    f"select *, count(*) over () as {COUNT} from (\n{{query}}\n) order by all limit {{kept}}"
)
TRAINED_ON = ("boxes", "captions", "images", "splits")  # tables; others may change at will
RESULT_COLUMNS = ("check", "state", "value", "limit", "question", "message")
OFFENDER_COLUMNS = ("check", "row_id", "row")


def _question(line: str) -> str:
    question = line.removeprefix("--").strip()
    if not line.startswith("--") or not question:
        raise ValueError("the first line is no comment that asks something")
    return question


class Check(BaseModel):
    """One file of queries/checks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    question: Annotated[str, AfterValidator(_question)]
    sql: str
    kind: Literal["rows", "value"]
    tolerated: int | None = Field(default=None, ge=0)
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    severity: Literal["stop", "warn"] = "stop"

    @model_validator(mode="after")
    def _has_its_limits(self) -> "Check":
        bounds = [self.min, self.max]
        if self.kind == "rows" and bounds != [None, None]:
            raise ValueError("kind rows takes tolerated, not min or max")
        if self.kind == "value" and (bounds == [None, None] or self.tolerated is not None):
            raise ValueError("kind value takes min, max or both, not tolerated")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self

    @property
    def limit(self) -> str:
        """What is asked of the answer, in words."""
        if self.kind == "rows":
            return f"at most {self.tolerated or 0}"
        bounds = {"at least": self.min, "at most": self.max}
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)

    def holds(self, value: float) -> bool:
        """Whether the number (kind rows: of offending rows) is within the limits."""
        if self.kind == "rows":
            return value <= (self.tolerated or 0)
        low = -math.inf if self.min is None else self.min
        return low <= value <= (math.inf if self.max is None else self.max)


@dataclass(frozen=True)
class Outcome:
    """What a check found: `value` is its number, or that of the offending rows; None: not
    measured. `offenders` are the first of these rows."""

    check: Check
    state: State
    value: float | None
    offenders: pa.Table

    @property
    def message(self) -> str:
        """The outcome in one sentence."""
        found = "not measured" if self.value is None else f"{self.value:g}"
        rows = " rows" if self.check.kind == "rows" else ""
        return f"{self.check.name}: {found}{rows}, {self.check.limit} wanted. {self.check.question}"


def read_checks(folder: Path) -> list[Check]:
    """The checks of a folder by name; InputError for a header that is wrong."""
    paths = sorted(folder.glob("*.sql"))
    if not paths:
        raise InputError(f"{folder} holds no .sql file; give the folder of the checks")
    return [_read_check(path) for path in paths]


def _read_check(path: Path) -> Check:
    try:
        text = path.read_text(encoding="utf-8")
        first = text.partition("\n")[0]
        settings = {name: value.strip() for name, value in SETTING.findall(text)}
        return Check.model_validate(settings | {"name": path.stem, "question": first, "sql": text})
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); mend or remove it") from None
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}; see spatialgen/checks.py") from None


def _explain(error: ValidationError) -> str:
    problems = []
    for each in error.errors():
        setting = ".".join(map(str, each["loc"])) or "header"
        problems.append(f"{setting}: {each['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)


def run_checks(lake: Lake, checks: Sequence[Check], params: Params) -> list[Outcome]:
    """Ask every check of the lake as it is now; QueryError where one does not run."""
    names = [check.name for check in checks]
    if unknown := sorted(set(params.check.warn) - set(names)):
        raise InputError(f"check.warn names {unknown[0]}, which is none of {', '.join(names)}")
    others = {"committed": committed(lake)}
    values = {
        f"{section}_{name}": value
        for section, fields in params.model_dump().items()
        for name, value in fields.items()
    }
    outcomes = []
    for check in checks:
        given = {name: values[name] for name in PARAM.findall(check.sql) if name in values}
        query = check.sql.strip().removesuffix(";")
        if check.kind == "rows":
            query = OFFENDING.format(query=query, kept=params.check.offenders)
        try:
            (answer,) = run_query(lake, query, given, others)
            outcomes.append(_judge(check, answer, warn=check.name in params.check.warn))
        except QueryError as error:
            raise QueryError(f"check {check.name}: {error}") from None
    return outcomes


def _judge(check: Check, answer: pa.Table, *, warn: bool) -> Outcome:
    value: float | None = _offending(answer) if check.kind == "rows" else _number(answer)
    if value is None:
        state: State = "warned"
    elif check.holds(value):
        state = "passed"
    else:
        state = "warned" if warn or check.severity == "warn" else "failed"
    rows = answer.drop_columns([COUNT]) if check.kind == "rows" else answer.slice(0, 0)
    return Outcome(check, state, value, rows)


def _offending(answer: pa.Table) -> int:
    return int(answer[COUNT][0].as_py()) if answer.num_rows else 0


def _number(answer: pa.Table) -> float | None:
    if answer.shape != (1, 1):
        rows, columns = answer.shape
        raise QueryError(f"{rows} rows of {columns} columns are no value; return one number")
    value = answer[0][0].as_py()
    if value is None or value != value:
        return None
    try:
        return round(float(value), 6)
    except (TypeError, ValueError):
        raise QueryError(f"{value!r} is no number; return one") from None


def write_outcomes(outcomes: Sequence[Outcome], folder: Path | str = "metrics") -> None:
    """Write checks.json (counts, and every check's number), checks.csv (a row per check) and
    offenders.csv (the first offending rows, as JSON)."""
    states = [outcome.state for outcome in outcomes]
    counts = {state: states.count(state) for state in get_args(State)}
    numbers = {outcome.check.name: outcome.value for outcome in outcomes}
    write_metrics("checks", {**counts, "checks": numbers}, folder)
    _write_csv(Path(folder) / "checks.csv", RESULT_COLUMNS, map(_result, outcomes))
    _write_csv(Path(folder) / "offenders.csv", OFFENDER_COLUMNS, _offenders(outcomes))


def _result(outcome: Outcome) -> list[Any]:
    check = outcome.check
    said = [check.limit, check.question, outcome.message]
    return [check.name, outcome.state, outcome.value, *said]


def _offenders(outcomes: Iterable[Outcome]) -> Iterator[list[Any]]:
    for outcome in outcomes:
        if outcome.state != "passed":
            for row in outcome.offenders.to_pylist():
                text = json.dumps(row, ensure_ascii=False, default=str)
                yield [outcome.check.name, row.get("row_id"), text]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def require_passed(outcomes: Iterable[Outcome]) -> None:
    """Raise CheckError where a check failed."""
    failed = [outcome.message for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise CheckError(
            f'{"; ".join(failed)} See metrics/offenders.csv and "dvc repro -s report"; mend the '
            "data or its params, or name the check in check.warn"
        )


def write_passed(lake: Lake) -> None:
    """Write lake/checks.ok: the digests that passed. Trainings depend on it alone, so a check that
    is added, or a limit that is moved, trains nothing anew."""
    digests = {name: lake[name].manifest.digest for name in TRAINED_ON}
    text = json.dumps(digests, indent=2, sort_keys=True) + "\n"
    (lake.root / "checks.ok").write_text(text, encoding="utf-8")
