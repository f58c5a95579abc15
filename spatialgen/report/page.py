"""The page: what the queries answer, the checks found and the rows look like, as one HTML file.

It is a function of tables, metrics, plots and params alone (and of the versions that it names): no
clock, nothing of this machine. It holds no script, and its policy lets a browser load nothing.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from spatialgen.lake.lake import Lake
from spatialgen.lake.links import scratch_beside
from spatialgen.params import Params, ReportParams
from spatialgen.report.answers import Answer, Answers
from spatialgen.report.card import make_card
from spatialgen.report.charts import Histogram, histogram
from spatialgen.report.checks import Check, Offender, read_checks, sample_offenders
from spatialgen.report.curves import read_panels
from spatialgen.report.figures import Facts, measured, percent, read_facts, thousands
from spatialgen.report.generator import METRICS as EVALUATE
from spatialgen.report.generator import read_generator
from spatialgen.report.pictures import Tile, Tiles

# Queries that `dvc plots` shows, too; the page alone asks the others.
PLOTS = ("agreement", "aspect_ratios", "box_centres", "box_sizes", "caption_lengths",
         "class_shares", "download_reasons", "funnel", "picture_sides")  # fmt: skip
ASKED = (*PLOTS, "box_names", "download_hosts")
CLASSES = ("strong", "weak", "none")
# Rows that are shown: a name, what it says, and SQL over boxes and captions.
SAMPLES = (
    ("strong", "captions that state a position", "spatial_type = 'strong'"),
    ("weak", "captions that name a scene, a ground, or what is worn", "spatial_type = 'weak'"),
    ("positions that fail", "rows whose boxes contradict the caption", "not spatial_agree"),
)
RELATIONS = "metrics/annotate.relations."  # figures that stand beside agreement.sql's
# Labels of width : height, by quarters of a doubling.
ASPECTS: dict[float, str] = {-8: "1:4", -4: "1:2", 0: "1:1", 4: "2:1", 8: "4:1"}


@dataclass(frozen=True)
class Finding:
    """A check that did not pass: its tiles, and the rows it found that have no picture."""

    check: Check
    tiles: list[Tile]
    others: list[Offender]


def write_page(lake: Lake, params: Params, answers: Answers, out: Path) -> None:
    """Write the page of `lake` to `out`; metrics/ and plots/ are its siblings."""
    project = lake.root.absolute().parent
    facts = read_facts(lake)
    figures = measured(facts)
    checks = read_checks(project / "metrics")
    tiles = Tiles(lake) if lake["boxes"].exists else None
    context = {
        "title": params.report.title,
        "headlines": list(_headlines(facts)),
        "answers": {name: answers[name] for name in ASKED},
        "histograms": _histograms(answers),
        "figures": [
            figure for name, figure in figures.items() if not name.startswith((RELATIONS, EVALUATE))
        ],
        "held": {
            name.removeprefix(RELATIONS): figure
            for name, figure in figures.items()
            if name.startswith(RELATIONS)
        },
        "splits": lake["splits"].manifest.counts["split"] if lake["splits"].exists else {},
        "checks": checks,
        "findings": _findings(tiles, params.report, project / "metrics", checks or []),
        "samples": _samples(tiles, params.report) if tiles else None,
        "panels": read_panels(project / "plots"),
        "generator": read_generator(facts, project / "plots"),
        "sources": params.report.sources,
        "card": make_card(lake, params, facts, answers, checks),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    page = _environment().get_template("page.html").render(context)
    scratch = scratch_beside(out)  # DVC's cache may share the file that is there
    scratch.write_text(page, encoding="utf-8")
    scratch.replace(out)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # captions, names and hosts are text of strangers
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thousands": thousands, "percent": percent}
    return environment


def _headlines(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """(figure, what it counts, beside it) of the stages that have run."""
    if records := facts.get("metrics/candidates.records"):
        candidates = thousands(facts["metrics/candidates.candidates"])
        yield thousands(records), "CSV records", f"{candidates} candidates"
    if judged := facts.get("metrics/filter.rows"):
        spatial = facts["metrics/filter.strong"] + facts["metrics/filter.weak"]
        yield thousands(spatial), "spatial captions", f"{percent(spatial / judged)} of those judged"
    if asked := facts.get("metrics/download.rows"):
        ok = facts["metrics/download.ok"]
        yield thousands(ok), "with a picture", f"{percent(ok / asked)} of those asked for"
    if objects := facts.get("metrics/annotate.objects"):
        yield thousands(objects), "boxes", f"in {thousands(facts['metrics/annotate.boxed'])} rows"
    if (holds := facts.get("metrics/annotate.spatial_agree.value")) is not None:
        lo, hi = (facts[f"metrics/annotate.spatial_agree.{end}"] for end in ("lo", "hi"))
        yield percent(holds), "positions hold", f"95 %: {percent(lo)} to {percent(hi)}"
    if (train := facts.get("metrics/split.train")) is not None:
        val, test = (thousands(facts[f"metrics/split.{split}"]) for split in ("val", "test"))
        yield thousands(train), "rows in train", f"{val} val, {test} test"


def _histograms(answers: Answers) -> dict[str, Histogram]:
    """The charts of the queries that have rows."""
    aspects = [
        {**row, "aspect": round(4 * math.log2(row["aspect"])) - 0.5}
        for row in answers["aspect_ratios"].rows
    ]
    made = {
        "caption_lengths": _columns(answers["caption_lengths"], "length", CLASSES),
        "picture_sides": _columns(answers["picture_sides"], "side", ("pictures",)),
        "box_sizes": _columns(answers["box_sizes"], "side", ("boxes",), step=0.1),
        "aspect_ratios": aspects
        and histogram(aspects, "aspect", ("pictures",), step=1, lo=-8.5, ticks=ASPECTS),
    }
    return {name: chart for name, chart in made.items() if chart}


def _columns(
    answer: Answer, x: str, parts: Sequence[str], step: float | None = None
) -> Histogram | None:
    """From 0, in bins as wide as `step`, or as the query's param."""
    if not answer.rows:
        return None
    return histogram(answer.rows, x, parts, step=step or answer.params["bin"], lo=0)


def _samples(tiles: Tiles, params: ReportParams) -> list[tuple[str, str, list[Tile]]]:
    """The tiles of each sample."""
    return [
        (name, says, tiles.sample(where, params.pictures_per_class, params.seed))
        for name, says, where in SAMPLES
    ]


def _findings(
    tiles: Tiles | None, params: ReportParams, folder: Path, checks: Sequence[Check]
) -> list[Finding]:
    """What the checks that did not pass have found."""
    offenders = sample_offenders(folder, params.pictures_per_check, params.seed)
    findings = []
    for check in checks:
        if check.state == "passed":
            continue
        found = offenders.get(check.check, [])
        drawn = tiles([each.row_id for each in found if each.row_id is not None]) if tiles else []
        shown = {tile.row["row_id"] for tile in drawn}
        others = [each for each in found if each.row_id not in shown]
        findings.append(Finding(check, drawn, others))
    return findings
