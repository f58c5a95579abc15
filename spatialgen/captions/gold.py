"""Hand-labelled captions, and how well the judge agrees with them."""

import json
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from spatialgen.captions.classifier import CLASSES
from spatialgen.captions.publish import judged_rounds
from spatialgen.errors import InputError
from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.params import FilterParams
from spatialgen.rows.stage import RowStage
from spatialgen.statistics import bootstrap_f1, wilson

SPATIAL = [CLASSES.index("strong"), CLASSES.index("weak")]
UNANSWERED = len(CLASSES)  # the column of captions without a judgement


def read_gold(path: Path) -> pa.Table:
    """Rows (row_id, caption, truth) of a JSONL file with `caption` and `spatial_type` per line.

    Raises InputError with the line that is wrong.
    """
    captions: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                caption, truth = _read_line(path, number, line)
                if captions.setdefault(caption, truth) != truth:
                    raise InputError(
                        f"{path}:{number}: {caption!r} is {truth} here and {captions[caption]} "
                        "before; label a caption once"
                    )
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"filter.gold = {path} cannot be read ({error}); give a UTF-8 JSONL file, or null"
        ) from None
    rows = sorted((row_id("", caption), caption, truth) for caption, truth in captions.items())
    schema = pa.schema([("row_id", pa.int64()), ("caption", pa.string()), ("truth", pa.string())])
    return pa.Table.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )


def _read_line(path: Path, number: int, line: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
        caption, truth = row["caption"], row["spatial_type"]
        if isinstance(caption, str):
            caption.encode()  # a lone surrogate is no text
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
    lake: Lake,
    stage: RowStage,
    gold: pa.Table,
    candidates: lance.LanceDataset,
    params: FilterParams,
) -> dict[str, Any]:
    """{spatial_share, gold}: how the judge, who has judged `gold`, agrees with it.

    spatial_share is the precision on the gold captions that are candidates themselves: if these
    were drawn at random, it estimates how many of the selected rows are spatial. Gold from
    elsewhere cannot say that, and then it is left out.
    """
    judged = pa.concat_tables(judged_rounds(lake, stage, gold, params, ["truth"]))
    found: dict[str, Any] = {}
    own = judged.filter(_among(judged["caption"], candidates))
    if own.num_rows:
        found["spatial_share"] = agreement(_confusion(own))["spatial_precision"]
    return found | {"gold": agreement(_confusion(judged))}


def _among(captions: pa.ChunkedArray, candidates: lance.LanceDataset) -> pa.ChunkedArray:
    """Which of `captions` are captions of candidates; memory stays at a batch."""
    seen = [
        batch["caption"].filter(pc.is_in(batch["caption"], value_set=captions))
        for batch in candidates.scanner(columns=["caption"]).to_batches()
    ]
    return pc.is_in(captions, value_set=pa.chunked_array(seen, pa.string()))


def _confusion(judged: pa.Table) -> NDArray[np.int64]:
    return confusion_matrix(judged["truth"].to_pylist(), judged["spatial_type"].to_pylist())


def confusion_matrix(truth: list[str], predicted: list[str | None]) -> NDArray[np.int64]:
    """[truth, predicted] counts in CLASSES' order; the last column is of captions without an
    answer, which count as missed.
    """
    counts = np.zeros((len(CLASSES), len(CLASSES) + 1), np.int64)
    for true, guess in zip(truth, predicted, strict=True):
        counts[CLASSES.index(true), CLASSES.index(guess) if guess else UNANSWERED] += 1
    return counts


def agreement(confusion: NDArray[np.int64]) -> dict[str, Any]:
    """Precision, recall and F1 per class and for spatial (strong or weak), with 95 % intervals."""
    f1, macro_f1 = bootstrap_f1(confusion)
    found: dict[str, Any] = {
        "n": int(confusion.sum()),
        "unanswered": int(confusion[:, UNANSWERED].sum()),
        "macro_f1": macro_f1.as_dict(),
    }
    true, hits, selected = confusion.sum(1), confusion.diagonal(), confusion.sum(0)
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
