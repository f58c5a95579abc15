"""Row stage annotate: where the things that a caption names are in its picture."""

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from spatialgen.errors import ParamsError
from spatialgen.grounding.annotator import BoxAnnotator, Prepared, Written
from spatialgen.grounding.pictures import Ahead, Pictures, UnreadableError, View
from spatialgen.grounding.qwen2_vl import ask
from spatialgen.lake import duck
from spatialgen.lake.ids import fingerprint
from spatialgen.lake.lake import Lake
from spatialgen.model_identity import model_identity
from spatialgen.params import AnnotateParams, ComputeParams
from spatialgen.relations.parse import read_caption
from spatialgen.rows.batcher import OK, OUTCOME, PERMANENT
from spatialgen.rows.stage import BatchFunction, RowStage

REVISION = 1  # raise it when equal params would give other texts
WINDOW_ROWS = 64  # some seconds on a GPU
AHEAD_BATCHES = 2
AHEAD_BYTES = 1 << 30  # of prepared pictures, if they are as large as they may be
PREPARED_BYTES = 2 * 3 * 4  # per pixel: two frames of three floats
LONGEST_QUESTION = 2000  # characters; ten times a long caption with its prompt
PIXELS_PER_TOKEN = 28 * 28  # of a visual token, in most checkpoints
TOKENS_PER_NAME = 25  # of an answer
SCHEMA = pa.schema(
    [
        pa.field("family", pa.string()),  # the model's model_type, which says how to read the text
        pa.field("text", pa.string()),  # the model's answer, special tokens included
        pa.field("finished", pa.bool_()),  # false: max_new_tokens cut it off
        pa.field("seen_width", pa.int32()),  # pixels, as the model saw the picture
        pa.field("seen_height", pa.int32()),
    ]
)
ASKED = pa.schema(
    [
        pa.field("row_id", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("names", pa.list_(pa.string())),  # that are asked for
        pa.field("question", pa.string()),  # null: it names nothing, or its boxes are given
        pa.field("view", pa.string()),
        pa.field("width", pa.int32()),  # pixels, of the stored picture
        pa.field("height", pa.int32()),
    ]
)


def annotate_stage(params: AnnotateParams, compute: ComputeParams, images: Path) -> RowStage:
    """The row stage that asks about the pictures of `images`, a Lance table.

    A question is a picture, a text and a view, so a prompt, a caption or a second view that changes
    asks only what is new.
    """
    fp = fingerprint(
        revision=REVISION,
        model=model_identity(params.model, params.revision, "annotate.revision"),
        dtype=params.dtype,
        max_image_size=params.max_image_size,
        max_new_tokens=params.max_new_tokens,
    )
    return RowStage(
        name="annotate",
        fp=fp,
        key=("sha256", "question", "view"),
        schema=SCHEMA,
        open=partial(open_annotator, params, compute, str(images)),
        carried=("width", "height"),
        attempt=params.attempt,
        batch_rows=compute.batch_pictures,
        window_rows=WINDOW_ROWS,
        sizes=partial(_tokens, params.max_image_size),
    )


def _tokens(max_image_size: int, rows: pa.RecordBatch) -> NDArray[np.int64]:
    """About how many tokens a row takes: of its picture, and of the answer."""
    pixels = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
    names = pc.count_substring(rows["question"], "、").to_numpy().astype(np.int64) + 1
    seen: NDArray[np.int64] = np.minimum(pixels, max_image_size**2) // PIXELS_PER_TOKEN
    tokens: NDArray[np.int64] = seen + TOKENS_PER_NAME * names + 1
    return tokens


def open_annotator(
    params: AnnotateParams, compute: ComputeParams, images: str, device: str
) -> BatchFunction:
    """Load the annotator on `device`."""
    import lance
    import torch

    if compute.threads:
        torch.set_num_threads(compute.threads)
    annotator = BoxAnnotator.from_pretrained(
        params.model,
        revision=params.revision,
        device=device,
        dtype=params.dtype,
        max_image_size=params.max_image_size,
        max_new_tokens=params.max_new_tokens,
    )
    pictures = Pictures(lance.dataset(images))
    most = AHEAD_BYTES // (PREPARED_BYTES * params.max_image_size**2)
    ahead = min(AHEAD_BATCHES * compute.batch_pictures, max(1, most))
    return Annotate(annotator, pictures, ahead=ahead, threads=compute.decode_threads)


class Annotate:
    """The batch function of stage annotate: questions about pictures -> answers."""

    def __init__(
        self, annotator: BoxAnnotator, pictures: Pictures, *, ahead: int, threads: int = 0
    ) -> None:
        self.annotator, self.pictures = annotator, pictures
        self.device = str(annotator.model.device)
        self.ahead: Ahead[Prepared] = Ahead(self._prepare, ahead=ahead, threads=threads)

    @property
    def waited_s(self) -> float:
        """Seconds that the model has waited for pictures."""
        return self.ahead.waited_s

    def expect(self, rows: pa.RecordBatch) -> None:
        """Begin to decode the pictures of these rows."""
        self.ahead.expect(_shown(rows))

    def _prepare(self, item: tuple[str, View]) -> Prepared:
        sha256, view = item
        return self.annotator.prepare(self.pictures.show(sha256, view))

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row per question; one about a damaged picture has an error instead."""
        items = _shown(batch)
        loaded, questions = self.ahead.take(items), batch["question"].to_pylist()
        errors = [_error(each, question) for each, question in zip(loaded, questions, strict=True)]
        fit = [i for i, error in enumerate(errors) if error is None]
        pictures = [each for i in fit if isinstance(each := loaded[i], Prepared)]
        written = self.annotator.ask(pictures, [questions[i] for i in fit])
        rows = [{"status": PERMANENT, "error": error} for error in errors]
        for i, picture, answer in zip(fit, pictures, written, strict=True):
            rows[i] = self._row(picture, answer)
        self.ahead.done(items)
        return pa.RecordBatch.from_pylist(rows, schema=pa.schema([*SCHEMA, *OUTCOME]))

    def _row(self, picture: Prepared, answer: Written) -> dict[str, Any]:
        return {
            "family": self.annotator.model.config.model_type,
            **vars(answer),
            "seen_width": picture.width,
            "seen_height": picture.height,
            "status": OK,
        }


def _error(loaded: Prepared | Exception, question: str) -> str | None:
    """Why a row cannot be asked, if it cannot; raises what is the machine's fault."""
    if isinstance(loaded, UnreadableError):
        return f"unreadable_picture: {loaded}"
    if isinstance(loaded, Exception):
        raise loaded
    if len(question) > LONGEST_QUESTION:
        return f"too_long: the question has {len(question)} characters, of {LONGEST_QUESTION}"
    return None


def _shown(rows: pa.RecordBatch) -> list[tuple[str, View]]:
    return list(zip(rows["sha256"].to_pylist(), rows["view"].to_pylist(), strict=True))


def views_of(params: AnnotateParams) -> tuple[View, ...]:
    """How each picture is shown; the first look's boxes are published."""
    return ("plain",) if params.passes == 1 else ("plain", params.second_view)


def read_box_prompt(path: Path) -> str:
    """The prompt of a file, which holds {names} or {caption}; ParamsError where it does not."""
    try:
        prompt = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(
            f"annotate.prompt = {path} cannot be read ({error}); give a UTF-8 text file"
        ) from None
    if "{names}" not in prompt and "{caption}" not in prompt:
        raise ParamsError(
            f"annotate.prompt = {path} holds neither {{names}} nor {{caption}}; write one of them "
            "where the things to box are to stand"
        )
    return prompt


def asked_rows(
    lake: Lake, params: AnnotateParams, given: Collection[int] = ()
) -> dict[View, pa.Table]:
    """Per view, every row with a picture and what is asked about it, in row_id order, as ASKED;
    nothing about those whose boxes are `given`."""
    prompt = read_box_prompt(Path(params.prompt))
    if "{caption}" in prompt and "mirrored" in views_of(params):
        raise ParamsError(
            "annotate.second_view = mirrored shows left as right, and annotate.prompt quotes the "
            "caption, which says left; take second_view=smaller, or a prompt with {names} alone"
        )
    rows = [*_asked(rows_with_pictures(lake), prompt, params.max_names)]
    plain = pa.Table.from_batches(rows, schema=ASKED)
    known = pc.is_in(plain["row_id"], value_set=pa.array([*given], pa.int64()))
    if given and not pc.any(known).as_py():
        raise ParamsError(
            f"annotate.given = {params.given} knows none of the {plain.num_rows} rows with a "
            "picture; give boxes of rows of candidates.csv, or null"
        )
    questions = pc.if_else(known, pa.scalar(None, pa.string()), plain["question"])
    plain = _with_column(plain, "question", questions)
    return {
        view: _with_column(plain, "view", pa.repeat(view, plain.num_rows))
        for view in views_of(params)
    }


def _with_column(asked: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return asked.set_column(ASKED.get_field_index(name), ASKED.field(name), values)


def rows_with_pictures(lake: Lake) -> pa.Table:
    """row_id, caption, sha256, width, height of each row whose picture is there, by row_id."""
    connection = duck.connect(spill=lake.spill)
    try:
        for name in ("captions", "downloads", "images"):
            connection.register(name, lake[name].dataset())
        return connection.sql(
            f"""
            select row_id, caption, sha256, width, height
            from downloads join captions using (row_id) join images using (sha256)
            where status = '{OK}' order by row_id
            """
        ).to_arrow_table()
    finally:
        connection.close()


def _asked(rows: pa.Table, prompt: str, most: int) -> Iterator[pa.RecordBatch]:
    for batch in rows.to_batches():
        captions = batch["caption"].to_pylist()
        names = [list(read_caption(caption).names[:most]) for caption in captions]
        questions = [
            question(prompt, caption, asked) for caption, asked in zip(captions, names, strict=True)
        ]
        columns = {
            **{name: batch[name] for name in batch.schema.names},
            "names": pa.array(names, pa.list_(pa.string())),
            "question": pa.array(questions, pa.string()),
            "view": pa.repeat("plain", batch.num_rows),
        }
        yield pa.RecordBatch.from_arrays([columns[f.name] for f in ASKED], schema=ASKED)


def question(prompt: str, caption: str, names: list[str]) -> str | None:
    """What the model is asked about a picture; None where there is nothing to ask for."""
    if not names and "{caption}" not in prompt:
        return None
    return ask(prompt, names).replace("{caption}", caption)


def with_question(asked: pa.Table) -> pa.Table:
    """The rows that are asked at all: what the engine is given."""
    return asked.filter(pc.is_valid(asked["question"]))
