"""Every table's columns, each with its meaning, unit and range.

The comments travel in the files themselves: `spatialgen tables NAME` prints them.
Keys are signed 64-bit (Lance cannot push filters down on unsigned columns) and times are UTC.
"""

from dataclasses import dataclass

import lance
import pyarrow as pa


def column(name: str, kind: pa.DataType, comment: str, *, nullable: bool = False) -> pa.Field:
    """A column with its comment."""
    return pa.field(name, kind, nullable=nullable, metadata={"comment": comment})


def is_blob(field: pa.Field) -> bool:
    """Whether a column holds Lance blobs, which SQL cannot read and digests leave out."""
    metadata = field.metadata or {}
    return (
        getattr(field.type, "extension_name", None) == "lance.blob.v2"
        or metadata.get(b"ARROW:extension:name") == b"lance.blob.v2"
    )


def blob(name: str, *, nullable: bool = False) -> pa.Field:
    """A column of large values, kept as they are: Lance would try to compress each."""
    field = lance.blob_field(name, nullable=nullable)
    return field.with_metadata({"lance-encoding:compression": "none"})


@dataclass(frozen=True)
class TableSpec:
    """What a published table holds: `key` orders and identifies its rows, `classes` are counted."""

    name: str
    stage: str
    key: tuple[str, ...]
    schema: pa.Schema
    classes: tuple[str, ...] = ()


ROW_ID = column("row_id", pa.int64(), "identity: 64 bits of md5 over url and caption, signed")
URL = column("url", pa.string(), "where the picture was found, exactly as the CSV had it")
CAPTION = column("caption", pa.string(), "the picture's Chinese caption, exactly as the CSV had it")

CANDIDATES = TableSpec(
    name="candidates",
    stage="candidates",
    key=("row_id",),
    schema=pa.schema([ROW_ID, URL, CAPTION]),
)

REJECTS = TableSpec(
    name="rejects",
    stage="candidates",
    key=("file", "line"),
    classes=("reason",),
    schema=pa.schema(
        [
            column("file", pa.string(), "CSV shard, relative to candidates.csv"),
            column("line", pa.int64(), "first line of the record in its file, from 1 (the header)"),
            column("reason", pa.string(), "a name of spatialgen.records.Reason"),
            column("raw", pa.string(), "the record as it stands, cut at 1000 characters"),
        ]
    ),
)

PROBABILITIES = tuple(
    column(f"p_{name}", pa.float32(), f"the judge's probability of {name}, 0 to 1", nullable=True)
    for name in ("strong", "weak", "none")
)

CAPTIONS = TableSpec(
    name="captions",
    stage="filter",
    key=("row_id",),
    classes=("spatial_type",),
    schema=pa.schema(
        [
            *(ROW_ID, URL, CAPTION),
            column(
                "spatial_type",
                pa.string(),
                "strong (a position relation between drawable things), weak (only a scene, or worn "
                "and held parts), none; null without an answer",
                nullable=True,
            ),
            *PROBABILITIES,
            column("tier", pa.string(), "the judge: its model's name", nullable=True),
            column("error", pa.string(), "why there is no answer; null with one", nullable=True),
        ]
    ),
)

IMAGES = TableSpec(
    name="images",
    stage="download",
    key=("sha256",),
    classes=("format",),
    schema=pa.schema(
        [
            column("sha256", pa.string(), "identity: hex digest of the file's bytes"),
            blob("image"),  # the original bytes, never re-encoded
            column("width", pa.int32(), "pixels, >= 1, as stored: EXIF orientation is not applied"),
            column("height", pa.int32(), "pixels, >= 1"),
            column("format", pa.string(), "from the bytes: jpeg, png, webp, gif, bmp"),
            column("n_bytes", pa.int64(), "size of the file, bytes"),
            column(
                "phash",
                pa.int64(),
                "64-bit perceptual hash; near-duplicates differ in few bits; null above 25 MP",
                nullable=True,
            ),
        ]
    ),
)

DOWNLOADS = TableSpec(
    name="downloads",
    stage="download",
    key=("row_id",),
    classes=("status", "reason"),
    schema=pa.schema(
        [
            ROW_ID,
            column("sha256", pa.string(), "its picture in images; null unless ok", nullable=True),
            column("status", pa.string(), "ok, permanent (fails again) or transient (may not)"),
            column(
                "reason",
                pa.string(),
                "why there is no picture, a name of spatialgen.fetch.reasons.Reason; null when ok",
                nullable=True,
            ),
            column(
                "http_status",
                pa.int32(),
                "of the last answer, after redirects; null where there was none",
                nullable=True,
            ),
            column("host", pa.string(), "as the URL names it; empty where it names none"),
        ]
    ),
)

BBOX = pa.list_(pa.float32(), 4)

BOXES = TableSpec(
    name="boxes",
    stage="annotate",
    key=("row_id",),
    classes=("spatial_agree",),
    schema=pa.schema(
        [
            ROW_ID,
            column("sha256", pa.string(), "its picture in images"),
            column(
                "objects",
                pa.list_(
                    pa.struct(
                        [
                            pa.field("name", pa.string()),
                            pa.field("bbox", BBOX),
                            pa.field("self_iou", pa.float32()),
                        ]
                    )
                ),
                "things found: name, bbox [x1, y1, x2, y2] in 0..1 of the stored picture from its "
                "top left, self_iou with the second look's box (null without one)",
            ),
            column("absent", pa.list_(pa.string()), "names that the model says are not there"),
            column(
                "relations",
                pa.list_(
                    pa.struct(
                        [
                            pa.field("relation", pa.string()),
                            pa.field("subject", pa.string()),
                            pa.field("objects", pa.list_(pa.string())),
                            pa.field("agrees", pa.bool_()),
                        ]
                    )
                ),
                "what the caption states (objects empty: of the picture itself), and whether the "
                "boxes agree; null where a thing has no box",
            ),
            column(
                "spatial_agree",
                pa.bool_(),
                "false: a relation fails; true: all that have boxes hold; null: none has",
                nullable=True,
            ),
            column("self_iou", pa.float32(), "lowest of its objects; null without", nullable=True),
            column(
                "problems",
                pa.list_(pa.string()),
                "what was wrong with the answer: names of spatialgen.grounding.answers.PROBLEMS",
            ),
            column(
                "raw",
                pa.list_(
                    pa.struct(
                        [
                            pa.field("view", pa.string()),
                            pa.field("family", pa.string()),
                            pa.field("text", pa.string()),
                            pa.field("finished", pa.bool_()),
                            pa.field("seen_width", pa.int32()),
                            pa.field("seen_height", pa.int32()),
                        ]
                    )
                ),
                "per look: how the picture was shown, the model's family and text, whether it came "
                "to its end, and the picture's size in pixels as the model saw it",
            ),
            column(
                "error", pa.string(), "why nothing could be read; null if it was", nullable=True
            ),
        ]
    ),
)

SPLITS = TableSpec(
    name="splits",
    stage="split",
    key=("row_id",),
    classes=("split",),
    schema=pa.schema(
        [
            ROW_ID,
            column("group_id", pa.int64(), "lowest row_id of the rows it is linked to, or its own"),
            column("split", pa.string(), "train, val or test; a group is in one of them"),
        ]
    ),
)


LATENTS = TableSpec(
    name="latents",
    stage="encode",
    key=("latent_id",),
    schema=pa.schema(
        [
            column("latent_id", pa.int64(), "h64 of the encoder, its settings and the picture"),
            column("sha256", pa.string(), "its picture in images; once per table"),
            column("encoder", pa.string(), "identity of the generator whose autoencoder it was"),
            # float16 [channels, height, width] in C order, times the scaling factor: what the
            # UNet works on; the means of the autoencoder's distributions.
            blob("latents"),
            blob("mirrored", nullable=True),  # of the picture as in a mirror; null: not asked for
            column("channels", pa.int32(), "of the latents"),
            column("height", pa.int32(), "of the latents, cells"),
            column("width", pa.int32(), "of the latents, cells"),
            column("picture_height", pa.int32(), "pixels of the stored picture"),
            column("picture_width", pa.int32(), "likewise"),
            column("scaled_height", pa.int32(), "pixels to which it was scaled before the crop"),
            column("scaled_width", pa.int32(), "likewise"),
            column("top", pa.int32(), "pixels of the scaled picture above the crop"),
            column("left", pa.int32(), "likewise, left of it"),
            column("target_height", pa.int32(), "pixels of the crop: of its bucket"),
            column("target_width", pa.int32(), "likewise"),
        ]
    ),
)

PROMPTS = TableSpec(
    name="prompts",
    stage="encode",
    key=("prompt_id",),
    schema=pa.schema(
        [
            column("prompt_id", pa.int64(), "h64 of the encoder, its settings and the text"),
            column("text", pa.string(), "caption, mirrored caption or name; '': no caption"),
            column("encoder", pa.string(), "identity of the generator whose text encoders it were"),
            # [rows, width] and [pooled_width] in C order, of `dtype`.
            blob("states"),
            blob("pooled"),
            column("pads", pa.int32(), "how often the first row stands, all its copies being one"),
            column("rows", pa.int32(), "of states; pads + rows - 1 are given to the UNet"),
            column("width", pa.int32(), "of a row of states"),
            column("pooled_width", pa.int32(), "of pooled"),
            column("dtype", pa.string(), "float32, float16 or bfloat16: as the encoder gave them"),
        ]
    ),
)

FOUND = pa.list_(
    pa.struct(
        [pa.field("name", pa.string()), pa.field("bbox", BBOX), pa.field("score", pa.float32())]
    )
)
VERDICT = pa.struct(
    [
        *(pa.field(rule, pa.float32()) for rule in ("visor", "geneval", "t2i_compbench", "nsr")),
        pa.field("referee", pa.float32()),
        pa.field("sides", pa.int32()),
        pa.field("relations", pa.int32()),
        pa.field("mig_hits", pa.int32()),
        pa.field("mig_iou", pa.float32()),
        pa.field("present", pa.int32()),
        pa.field("instances", pa.int32()),
        pa.field("absent_found", pa.bool_()),
    ]
)
VERDICT_MEANS = (
    "counts that hold: by rule of the `sides` stated, by the referee of the `relations`; of the "
    "`instances` of the true layout: hits at IoU 0.5, sum of IoU (misses 0), and those present"
)

GENERATIONS = TableSpec(
    name="generations",
    stage="evaluate",
    key=("generation_id",),
    classes=("condition",),
    schema=pa.schema(
        [
            column("generation_id", pa.int64(), "h64 of adapter, settings, row, condition, seed"),
            ROW_ID,
            column(
                "condition", pa.string(), "on, planned, off, shuffled, reconstruction, or on@..."
            ),
            column("seed", pa.int64(), "of the picture's noise"),
            column("caption", pa.string(), "what was asked for"),
            column("painter", pa.string(), "JSON: base, adapter and settings that painted it"),
            column("layout", FOUND, "boxes that were given, score null; empty: none"),
            column("wanted", FOUND, "the row's own boxes, which mig and presence are about"),
            blob("image"),  # PNG
            column("height", pa.int32(), "pixels"),
            column("width", pa.int32(), "pixels"),
            column("absent", pa.string(), "a name that is not in it, which the annotator is asked"),
            column("annotator", FOUND, "what the annotator found of the names, score null"),
            column("detector", FOUND, "what the detector found, the surest first"),
            column("by_annotator", VERDICT, VERDICT_MEANS),
            column("by_detector", VERDICT, VERDICT_MEANS),
            column("seconds", pa.float32(), "that it took to paint, its share of the batch"),
        ]
    ),
)

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        CANDIDATES,
        REJECTS,
        CAPTIONS,
        IMAGES,
        DOWNLOADS,
        BOXES,
        SPLITS,
        LATENTS,
        PROMPTS,
        GENERATIONS,
    )
}

RUNS_SCHEMA = pa.schema(
    [
        column("stage", pa.string(), "stage name, as in dvc.yaml"),
        column("fp", pa.string(), "fingerprint of what can change the stage's answers"),
        column("started", pa.timestamp("us", tz="UTC"), "when the run began"),
        column("seconds", pa.float64(), "wall time, s"),
        column("rows_total", pa.int64(), "rows that the stage was asked for"),
        column("rows_reused", pa.int64(), "of these, answered from the store"),
        column("rows_computed", pa.int64(), "of these, computed in this run"),
        column("rows_failed", pa.int64(), "of the computed, without an answer"),
        column("rows_per_s", pa.float64(), "rows_computed / seconds"),
        column("device_s", pa.float64(), "time that answers took, s", nullable=True),
        column("waited_s", pa.float64(), "of it, waiting for pictures, s", nullable=True),
    ]
)

MEMO_COLUMNS = (
    column("key", pa.int64(), "h64(fp, values of the stage's key columns)"),
    column("row_id", pa.int64(), "the row that asked first; others may share its key"),
    column("fp", pa.string(), "fingerprint of what can change the answer"),
    column("attempt", pa.int32(), "the stage's attempt param when this row was computed, from 1"),
    column("status", pa.string(), "ok, permanent (will fail again) or transient (may be retried)"),
    column("error", pa.string(), "why there is no answer; null when ok", nullable=True),
    column("committed", pa.timestamp("us", tz="UTC"), "when the row entered the store"),
)
