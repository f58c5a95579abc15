"""Stage report: what the lake holds, as one page: report/index.html, and as plots/*.csv.

dvc repro report
dvc exp run -S report.seed=1             # other sample pictures
dvc plots show                           # the same figures, drawn by Vega
"""

from pathlib import Path

from spatialgen.lake.lake import Lake
from spatialgen.params import load_params
from spatialgen.project import guard
from spatialgen.report.answers import Answers, write_plots
from spatialgen.report.page import PLOTS, write_page


def main() -> None:
    params = load_params()
    lake = Lake("lake")
    answers = Answers(lake)
    write_page(lake, params, answers, Path("report/index.html"))
    write_plots(answers, PLOTS, Path("plots"))


if __name__ == "__main__":
    guard(main)
