"""The dataset card: what the tables are, where they come from, and what is known to be wrong."""

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import TABLES
from spatialgen.params import Params
from spatialgen.report.answers import Answers
from spatialgen.report.checks import Check
from spatialgen.report.figures import Facts, measured, percent, thousands

# The columns whose meaning a reader needs; the words are those of the schemas.
DEFINED = (
    ("captions", "row_id"),
    ("captions", "spatial_type"),
    ("boxes", "objects"),
    ("boxes", "relations"),
    ("boxes", "spatial_agree"),
    ("splits", "split"),
)
# What decides bytes, digests or answers.
PACKAGES = ("spatialgen", "pylance", "duckdb", "pyarrow", "pillow", "numpy", "jieba", "torch",
            "transformers")  # fmt: skip
FEW = 100  # of these and fewer, a share says little


@dataclass(frozen=True)
class Card:
    """What the page's last section says; mappings keep the order they are shown in."""

    tables: list[dict[str, Any]]
    definitions: dict[str, str]
    models: list[dict[str, Any]]
    settings: dict[str, Any]
    versions: dict[str, str]
    limits: list[str]


def make_card(
    lake: Lake, params: Params, facts: Facts, answers: Answers, checks: Sequence[Check] | None
) -> Card:
    """The card of the lake as it is."""
    return Card(
        tables=[_table(lake, name) for name in lake.tables()],
        definitions={f"{table}.{name}": _comment(table, name) for table, name in DEFINED},
        models=[
            {"stage": "filter", "model": params.filter.model, "revision": params.filter.revision},
            {
                "stage": "annotate",
                "model": params.annotate.model,
                "revision": params.annotate.revision,
            },
        ],
        settings=_settings(params),
        versions=_versions(),
        limits=[*_unmade(lake), *_checks(checks), *_measured(facts), *_lost(facts, answers)],
    )


def _table(lake: Lake, name: str) -> dict[str, Any]:
    manifest = lake[name].manifest
    counts = {
        column: dict(sorted(values.items(), key=lambda item: -item[1]))
        for column, values in manifest.counts.items()
    }
    return {"table": name, "rows": manifest.rows, "digest": manifest.digest, "counts": counts}


def _comment(table: str, column: str) -> str:
    text: bytes = TABLES[table].schema.field(column).metadata[b"comment"]
    return text.decode()


def _settings(params: Params) -> dict[str, Any]:
    """All that changes results, by dotted key."""
    sections = params.model_dump(exclude={"compute", "report"})
    return {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
    }


def _versions() -> dict[str, str]:
    """Installed versions, and Python's."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found


def _unmade(lake: Lake) -> Iterator[str]:
    for spec in TABLES.values():
        if not lake[spec.name].exists:
            yield f"lake/{spec.name} does not exist: stage {spec.stage} has not run."


def _checks(checks: Sequence[Check] | None) -> Iterator[str]:
    if checks is None:
        yield "No check of the data has run: there is no metrics/checks.csv."
    for check in checks or ():
        if check.state != "passed":
            yield f"Check {check.check} {check.state}: {check.message}"


def _measured(facts: Facts) -> Iterator[str]:
    """What the models get wrong, by labels; that nobody knows, where there are none."""
    known = measured(facts)
    precision = known.get("metrics/filter.gold.spatial_precision")
    recall = known.get("metrics/filter.gold.spatial_recall")
    iou = known.get("metrics/annotate.truth.mean_iou_misses_0")
    f1 = known.get("metrics/annotate.truth.f1_50")
    if precision and recall:
        yield (
            f"Of the captions called strong or weak, {_in_words(precision)} are, by labelled ones; "
            f"of those that are, {_in_words(recall)} are found."
        )
    elif "metrics/filter.rows" in facts:
        yield "What the judge of captions gets wrong was not measured: it met no labelled caption."
    if iou and f1:
        yield (
            f"By true boxes, the annotator's mean IoU is {_in_words(iou, '{:.3f}'.format)}, misses "
            f"counted as 0, and its F1 at IoU 0.5 is {_in_words(f1, '{:.3f}'.format)}."
        )
    elif "metrics/annotate.rows" in facts:
        yield "What the annotator gets wrong was not measured: no row has true boxes."


def _in_words(figure: Mapping[str, Any], show: Callable[[float], str] = percent) -> str:
    value, lo, hi = (show(figure[part]) for part in ("value", "lo", "hi"))
    return f"{value} (95 %: {lo} to {hi}, n = {thousands(figure['n'])})"


def _lost(facts: Facts, answers: Answers) -> Iterator[str]:
    """What is missing, untested, one-sided or rare."""
    if asked := facts.get("metrics/download.rows"):
        lost = asked - facts["metrics/download.ok"]
        yield (
            f"{percent(lost / asked)} of the URLs that were asked gave no picture; what is left is "
            "no random draw of them."
        )
    hosts = answers["download_hosts"].rows
    pictures = sum(row["ok"] for row in hosts)
    if pictures and (most := max(hosts, key=lambda row: row["ok"]))["ok"] > pictures / 2:
        share = percent(most["ok"] / pictures)
        yield f"{share} of the pictures come from one host, {most['host']}."
    for state, what in (("null", "could not be tested"), ("false", "do not hold")):
        if count := facts.get(f"lake/boxes.counts.spatial_agree.{state}"):
            share = percent(count / facts["lake/boxes.rows"])
            yield f"The stated positions of {thousands(count)} rows ({share}) {what}."
    for stage, what in (("filter", "captions have no judgement"), ("annotate", "rows no boxes")):
        if count := facts.get(f"metrics/{stage}.failed"):
            yield f"{thousands(count)} {what}, for the model gave no answer that could be read."
    rare = [row for row in answers["agreement"].rows if row["tested"] < FEW]
    if rare:
        named = ", ".join(f"{row['relation']} ({row['tested']})" for row in rare)
        yield f"Relations tested on fewer than {FEW} captions: {named}."
