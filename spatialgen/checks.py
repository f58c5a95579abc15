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
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import duckdb
import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spatialgen.errors import CheckError, InputError, QueryError
from spatialgen.lake.history import committed
from spatialgen.lake.lake import Lake
from spatialgen.lake.sql import parse_params, run_query
from spatialgen.metrics import write_metrics
from spatialgen.params import Params

State = Literal["passed", "warned", "failed"]
SETTINGS = ("kind", "tolerated", "min", "max", "severity")
SETTING = re.compile(r"-- (\w+) = (\S.*)")
MEANT = re.compile(rf"\s*-+\s*({'|'.join(SETTINGS)})\s*[=:]", re.IGNORECASE)  # mistyped, else
# Sections of params.yaml that a check may name; others change no table.
SECTIONS = ("annotate", "candidates", "check", "download", "filter", "sample", "split")
MOST_CHARACTERS = 2000  # of an offending row
PASSED = "checks.ok"
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
            return f"at most {self.tolerated or 0:,}"
        bounds = {"at least": self.min, "at most": self.max}
        return ", ".join(
            f"{word} {bound:.10g}" for word, bound in bounds.items() if bound is not None
        )

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
        return f"{self.check.name}: {self.found}, {self.check.limit} wanted. {self.check.question}"

    @property
    def found(self) -> str:
        """The value in words."""
        if self.value is None:
            return "not measured"
        rows = self.check.kind == "rows"
        return f"{self.value:,.0f} rows" if rows else f"{self.value:.10g}"


def read_checks(folder: Path) -> list[Check]:
    """The checks of a folder by name; InputError for a header that is wrong."""
    paths = sorted(folder.glob("*.sql"))
    if not paths:
        raise InputError(f"{folder} holds no .sql file; give the folder of the checks")
    return [_read_check(path) for path in paths]


def _read_check(path: Path) -> Check:
    try:
        text = path.read_text(encoding="utf-8")
        fixed = {"name": path.stem, "question": text.partition("\n")[0], "sql": text}
        return Check.model_validate(_read_settings(path, text) | fixed)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); mend or remove it") from None
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}; see spatialgen/checks.py") from None


def _read_settings(path: Path, text: str) -> dict[str, str]:
    """The `-- name = value` lines before the query; InputError for one that is mistyped."""
    settings: dict[str, str] = {}
    for line in takewhile(lambda line: line.lstrip().startswith("--"), text.splitlines()):
        match = SETTING.fullmatch(line.rstrip())
        if match is None and not MEANT.match(line):
            continue
        name = match[1] if match else line.strip()
        if name not in SETTINGS or name in settings:
            raise InputError(
                f"{path}: {line.strip()!r} is no setting, or a second one; write each once, as "
                f"-- max = 0.5, of {', '.join(SETTINGS)}"
            )
        settings[name] = match[2] if match else ""
    return settings


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
    sections = params.model_dump(include=set(SECTIONS))
    values = {f"{name}_{key}": value for name in sections for key, value in sections[name].items()}
    outcomes = []
    for check in checks:
        try:
            query, used = _query_of(check, values)

            def ask(text: str, used: Mapping[str, Any] = used) -> pa.Table:
                (answer,) = run_query(lake, text, used, others)
                return answer

            warn = check.name in params.check.warn
            outcomes.append(_judge(check, query, ask, params.check.offenders, warn=warn))
        except QueryError as error:
            raise QueryError(f"check {check.name}: {error}") from None
    return outcomes


def _query_of(check: Check, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The one query of a check, and the values of the params that it names."""
    try:
        statements = duckdb.extract_statements(check.sql)
    except duckdb.Error as error:
        raise QueryError(f"it cannot be parsed: {error}") from None
    if len(statements) != 1:
        raise QueryError(f"it holds {len(statements)} statements; write one query")
    known = parse_params(check.sql, values)
    for name in statements[0].named_parameters:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean ${close[0]}?" if close else "write -- param NAME = VALUE"
            raise QueryError(f"${name} is no value of params.yaml; {hint}")
    used = {name: known[name] for name in statements[0].named_parameters}
    return statements[0].query.strip().rstrip(";"), used


def _judge(
    check: Check, query: str, ask: Callable[[str], pa.Table], kept: int, *, warn: bool
) -> Outcome:
    offenders = pa.table({})
    if check.kind == "value":
        value = _number(ask(query))
    else:
        value = _number(ask(f"select count(*) from (\n{query}\n)"))
        if value:
            offenders = ask(f"select * from (\n{query}\n) order by all limit {kept}")
    state: State = "passed"
    if value is None:
        state = "warned"
    elif not check.holds(value):
        state = "warned" if warn or check.severity == "warn" else "failed"
    return Outcome(check, state, value, offenders)


def _number(answer: pa.Table) -> float | None:
    """The number that a table of one row and column holds; None for null and NaN."""
    if answer.shape != (1, 1):
        rows, columns = answer.shape
        raise QueryError(f"{rows} rows of {columns} columns are no value; return one number")
    value = answer[0][0].as_py()
    if value is None or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise QueryError(f"{value!r} is no number; return one")
    if math.isinf(value):
        raise QueryError(f"{value} is no number; return a finite one")
    return value if isinstance(value, int) else float(value)


def write_outcomes(outcomes: Sequence[Outcome], folder: Path | str = "metrics") -> None:
    """Write checks.json (counts, and every check's number), checks.csv (a row per check) and
    offenders.csv (the first offending rows, as JSON)."""
    states = [outcome.state for outcome in outcomes]
    counts = {state: states.count(state) for state in get_args(State)}
    numbers = {outcome.check.name: _rounded(outcome.value) for outcome in outcomes}
    write_metrics("checks", {**counts, "checks": numbers}, folder)
    _write_csv(Path(folder) / "checks.csv", RESULT_COLUMNS, map(_result, outcomes))
    _write_csv(Path(folder) / "offenders.csv", OFFENDER_COLUMNS, _offenders(outcomes))


def _result(outcome: Outcome) -> list[Any]:
    check = outcome.check
    said = [check.limit, check.question, outcome.message]
    return [check.name, outcome.state, _rounded(outcome.value), *said]


def _rounded(value: float | None) -> float | None:
    """Six digits, so that files differ where figures do."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _offenders(outcomes: Iterable[Outcome]) -> Iterator[list[Any]]:
    for outcome in outcomes:
        if outcome.state != "passed":
            for row in outcome.offenders.to_pylist():
                text = json.dumps(row, ensure_ascii=False, default=str)[:MOST_CHARACTERS]
                row_id = row.get("row_id")
                yield [outcome.check.name, row_id if type(row_id) is int else None, text]


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


def forget_passed(lake: Lake) -> None:
    """Remove what passed before, for it may not pass now."""
    (lake.root / PASSED).unlink(missing_ok=True)


def write_passed(lake: Lake) -> None:
    """Write lake/checks.ok: the digests that passed. Trainings depend on it alone, so a check that
    is added, or a limit that is moved, trains nothing anew."""
    digests = {name: lake[name].manifest.digest for name in TRAINED_ON}
    text = json.dumps(digests, indent=2, sort_keys=True) + "\n"
    (lake.root / PASSED).write_text(text, encoding="utf-8")
