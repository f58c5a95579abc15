"""Row stage filter: the probabilities of every candidate caption."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from spatialgen.captions.classifier import CaptionClassifier
from spatialgen.captions.prompt import read_prompt
from spatialgen.lake.ids import fingerprint
from spatialgen.lake.schemas import PROBABILITIES
from spatialgen.model_identity import model_identity
from spatialgen.params import ComputeParams, FilterParams
from spatialgen.rows.batcher import OK, PERMANENT
from spatialgen.rows.stage import BatchFunction, RowStage

REVISION = 1  # raise it when equal params would give other probabilities
SCHEMA = pa.schema([field.with_nullable(True) for field in PROBABILITIES])


def filter_stage(params: FilterParams, compute: ComputeParams) -> RowStage:
    """The row stage that judges captions; its fp leaves out what only selects."""
    prompt = read_prompt(Path(params.prompt))
    fp = fingerprint(
        revision=REVISION,
        model=model_identity(params.model, params.revision, "filter.revision"),
        prompt=prompt,
        labels=params.labels.model_dump(),
        dtype=params.dtype,
    )
    return RowStage(
        name="filter",
        fp=fp,
        key=("caption",),
        schema=SCHEMA,
        open=partial(open_judge, params, compute, prompt),
        attempt=params.attempt,
        batch_rows=compute.batch_rows,
        sizes=_characters,
    )


def open_judge(
    params: FilterParams, compute: ComputeParams, prompt: str, device: str
) -> BatchFunction:
    """Load the judge on `device`."""
    import torch

    if compute.threads:
        torch.set_num_threads(compute.threads)
    classifier = CaptionClassifier.from_pretrained(
        params.model,
        revision=params.revision,
        prompt=prompt,
        labels=params.labels.model_dump(),
        device=device,
        dtype=params.dtype,
    )
    return Judge(classifier)


class Judge:
    """The batch function of stage filter: captions -> their probabilities."""

    def __init__(self, classifier: CaptionClassifier) -> None:
        self.classifier = classifier
        self.device = str(classifier.model.device)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row per caption; one that is too long to read has an error instead."""
        tokens = self.classifier.tokenise(batch["caption"].to_pylist())
        limit = self.classifier.max_caption_tokens
        fits = np.array([len(ids) <= limit for ids in tokens], bool)
        found = np.full((len(tokens), len(PROBABILITIES)), np.nan, np.float32)
        read = [ids for ids in tokens if len(ids) <= limit]
        found[fits] = self.classifier.probabilities(read)
        if not np.isfinite(found[fits]).all():  # the engine finds out which row it is
            raise FloatingPointError(
                f"the probabilities are not finite in {self.classifier.model.dtype}; "
                "try filter.dtype=float32"
            )
        columns = [pa.array(column, pa.float32(), mask=~fits) for column in found.T]
        errors = [
            None if ok else f"too_long: {len(ids)} tokens, and the model reads {limit}"
            for ok, ids in zip(fits, tokens, strict=True)
        ]
        status = pa.array(np.where(fits, OK, PERMANENT))
        return pa.record_batch(
            [*columns, status, pa.array(errors, pa.string())],
            names=[*(field.name for field in PROBABILITIES), "status", "error"],
        )


def _characters(rows: pa.RecordBatch) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = pc.utf8_length(rows["caption"]).to_numpy().astype(np.int64)
    return lengths
