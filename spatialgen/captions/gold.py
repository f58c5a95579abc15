"""Hand-labelled captions, and how well the judge agrees with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spatialgen.captions.classifier import CLASSES
from spatialgen.captions.publish import judged_rows
from spatialgen.errors import InputError
from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.params import ComputeParams, FilterParams
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Runner
from spatialgen.rows.stage import RowStage
from spatialgen.statistics import bootstrap_f1, wilson

SPATIAL = [CLASSES.index("strong"), CLASSES.index("weak")]
NONE = CLASSES.index("none")


def read_gold(path: Path) -> pa.Table:
    """Rows (row_id, caption, truth) of a JSONL file with `caption` and `spatial_type` per line.

    Raises InputError with the line that is wrong.
    """
    captions: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"filter.gold = {path} cannot be read ({error}); give a UTF-8 JSONL file, or null"
        ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        caption, truth = _read_line(path, number, line)
        if captions.setdefault(caption, truth) != truth:
            raise InputError(
                f"{path}:{number}: {caption!r} is {truth} here and {captions[caption]} before; "
                "label a caption once"
            )
    rows = sorted((row_id("", caption), caption, truth) for caption, truth in captions.items())
    schema = pa.schema([("row_id", pa.int64()), ("caption", pa.string()), ("truth", pa.string())])
    return pa.Table.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )


def _read_line(path: Path, number: int, line: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
        caption, truth = row["caption"], row["spatial_type"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}:{number}: no JSON object with caption and spatial_type "
            f"({type(error).__name__}: {error}); mend the line"
        ) from None
    if truth not in CLASSES or not isinstance(caption, str):
        raise InputError(
            f"{path}:{number}: spatial_type = {truth!r} of caption {caption!r}; it is one of "
            f"{', '.join(CLASSES)}, and the caption is text"
        )
    return caption, truth


def measure(
    lake: Lake, stage: RowStage, params: FilterParams, compute: ComputeParams, runner: Runner
) -> dict[str, Any]:
    """Judge the captions of `params.gold` like any others and compare; {} where it is null.

    The spatial precision estimates the share of spatial rows among the selected ones if the gold
    was drawn at random from the candidates.
    """
    if params.gold is None:
        return {}
    gold = read_gold(Path(params.gold))
    answer_rows(lake, stage, gold, runner)
    with judged_rows(lake, stage, gold, params, compute) as connection:
        pairs = connection.execute("select truth, spatial_type from judged").fetchall()
    return agreement(confusion_matrix([t for t, _ in pairs], [p for _, p in pairs]))


def confusion_matrix(truth: list[str], predicted: list[str | None]) -> NDArray[np.int64]:
    """[truth, predicted] counts in CLASSES' order; a caption without an answer is not selected,
    so it counts as predicted none.
    """
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for true, guess in zip(truth, predicted, strict=True):
        counts[CLASSES.index(true), CLASSES.index(guess or "none")] += 1
    return counts


def agreement(confusion: NDArray[np.int64]) -> dict[str, Any]:
    """Precision, recall and F1 per class and for spatial (strong or weak), with 95 % intervals."""
    f1, macro_f1 = bootstrap_f1(confusion)
    found: dict[str, Any] = {"n": int(confusion.sum()), "macro_f1": macro_f1.as_dict()}
    true, hits = confusion.sum(1), confusion.diagonal()
    selected = confusion.sum(0)
    spatial = int(confusion[np.ix_(SPATIAL, SPATIAL)].sum())
    found["spatial_precision"] = wilson(spatial, int(selected[SPATIAL].sum())).as_dict()
    found["spatial_recall"] = wilson(spatial, int(true[SPATIAL].sum())).as_dict()
    for i, name in enumerate(CLASSES):
        found[name] = {
            "precision": wilson(int(hits[i]), int(selected[i])).as_dict(),
            "recall": wilson(int(hits[i]), int(true[i])).as_dict(),
            "f1": f1[i].as_dict(),
        }
    return found
