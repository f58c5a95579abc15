"""Stage check: lake/*, metrics/* -> metrics/checks.{json,csv}, metrics/offenders.csv, checks.ok.

dvc repro check
dvc exp run -S 'check.warn=[unboxed_pictures]'   # this time, go on
"""

from pathlib import Path

from spatialgen.checks import (
    forget_passed,
    read_checks,
    require_passed,
    run_checks,
    write_outcomes,
    write_passed,
)
from spatialgen.lake.lake import Lake
from spatialgen.params import load_params
from spatialgen.project import guard


def main() -> None:
    params = load_params()
    lake = Lake("lake")
    forget_passed(lake)
    outcomes = run_checks(lake, read_checks(Path(params.check.queries)), params)
    write_outcomes(outcomes)
    for outcome in outcomes:
        if outcome.state != "passed":
            print(f"check {outcome.state}: {outcome.message}")
    print(f"check: {sum(each.state == 'passed' for each in outcomes)} of {len(outcomes)} passed")
    require_passed(outcomes)
    write_passed(lake)


if __name__ == "__main__":
    guard(main)
