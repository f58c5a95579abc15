"""Stage train_adapter: encoded rows of the lake -> models/adapter, trained once per fingerprint."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.schedulers import EulerDiscreteScheduler

from spatialgen.adapter.adapter import AdapterConfig, SpatialAdapter
from spatialgen.adapter.batches import NO_CAPTION, AdapterBatches
from spatialgen.adapter.noise import Noise
from spatialgen.adapter.rows import AdapterRows, adapter_rows
from spatialgen.adapter.task import AdapterTask
from spatialgen.adapter.validation import ValidationGrid
from spatialgen.encode.tables import Latents, Prompts
from spatialgen.errors import LakeError
from spatialgen.lake.ids import fingerprint
from spatialgen.lake.lake import Lake
from spatialgen.model_identity import model_identity
from spatialgen.model_loading import choose_device, local_or_hub
from spatialgen.params import Params
from spatialgen.training.folder import TrainingFolder
from spatialgen.training.loop import COMPUTED, Loop, LoopSettings, Report, train
from spatialgen.training.task import Batch

REVISION = 1  # raise it when equal params would train another adapter
VALIDATION_ROWS, VALIDATION_BATCH = 128, 16
TABLES = ("boxes", "captions", "latents", "prompts", "splits")
SIZES = {"width", "token_width", "heads", "frequencies", "adapter_layers"}
SETTINGS = {"steps", "batch", "rate", "every", "seed", "precision"}
SEEN = {"seed", "caption_dropout", "box_dropout", "mirrored", "min_area", "min_visible"}


def train_adapter(lake: Lake, params: Params, report: Report) -> TrainingFolder:
    """The folder of a finished training: of one that was finished before, if rows, params, tables
    and base are equal, else of one that goes on from its last checkpoint, or begins. `report` is
    given the figures of every step."""
    section = params.train_adapter
    rows = adapter_rows(lake, section, "train", section.unboxed_share)
    validation = adapter_rows(lake, section, "val", 0.0)
    folder, origin = find_training(lake, params, rows, validation)
    begin = partial(make_loop, lake, params, rows, validation, folder, origin)
    return train(folder, begin, report)


def find_training(
    lake: Lake, params: Params, rows: AdapterRows, validation: AdapterRows
) -> tuple[TrainingFolder, dict[str, Any]]:
    """The folder of this training, and what its adapter says of its origin."""
    section, encode = params.train_adapter, params.encode
    identity = model_identity(encode.model, encode.revision, "encode.revision")
    check_encoder(lake, identity)
    tables = {name: lake[name].manifest.digest for name in TABLES}
    fp = fingerprint(
        revision=REVISION,
        base=identity,
        params=section.model_dump(),
        rows=rows.digest,
        validation=validation.digest,
        tables=tables,
    )
    origin = {
        "fp": fp,
        "base": encode.model,
        "revision": encode.revision,
        "base_identity": identity,
        "tables": tables,
        "trained_rows": len(rows) - len(rows.unboxed),
        "unboxed_rows": len(rows.unboxed),
        "split": "train",
        "where": section.where,
        "resolution": encode.resolution,
    }
    return TrainingFolder(lake.store_root / "train" / f"adapter-{fp}"), origin


def check_encoder(lake: Lake, identity: str) -> None:
    """LakeError where lake/latents or lake/prompts are of another generator than this."""
    for name, table in (("latents", Latents), ("prompts", Prompts)):
        found = table(str(lake.path(name))).encoder
        if found != identity:
            raise LakeError(
                f'lake/{name} is of {found}, and encode.model is {identity}; run "dvc repro encode"'
            )


def make_loop(
    lake: Lake,
    params: Params,
    rows: AdapterRows,
    validation: AdapterRows,
    folder: TrainingFolder,
    origin: dict[str, Any],
) -> Loop:
    """The training of these params, from a fresh adapter on."""
    section, compute = params.train_adapter, params.compute
    base = local_or_hub(params.encode.model)
    device = choose_device(compute.device)
    frozen = torch.float32 if device == "cpu" else COMPUTED[section.precision]
    revision = params.encode.revision
    unet = _load(UNet2DConditionModel, base, "unet", revision, frozen)
    if compute.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    scheduler = EulerDiscreteScheduler.from_pretrained(
        base, subfolder="scheduler", revision=revision
    )
    batches = AdapterBatches(
        Latents(str(lake.path("latents"))),
        Prompts(str(lake.path("prompts"))),
        **section.model_dump(include=SEEN),
    )
    plain = batches.plain()
    (nothing,) = batches.prompts.take([NO_CAPTION])
    torch.manual_seed(section.seed)
    sizes = section.model_dump(include=SIZES)
    adapter = SpatialAdapter(AdapterConfig.of_unet(unet, nothing.states.shape[1], **sizes), origin)
    vae = _load(AutoencoderKL, base, "vae", revision, torch.float32)
    task = AdapterTask(
        adapter,
        unet,
        Noise(scheduler, section.snr_gamma),
        batches,
        partial(held_out_batches, plain, validation),
        ValidationGrid(folder.root / "validation", plain, validation, unet, vae, scheduler),
    )
    return Loop(
        task,
        rows,
        folder,
        LoopSettings(**section.model_dump(include=SETTINGS)),
        cpu=device == "cpu",
        workers=compute.loader_workers,
        micro_batch=compute.micro_batch,
        resume=TrainingFolder(Path(section.resume)) if section.resume else None,
    )


def held_out_batches(batches: AdapterBatches, rows: AdapterRows) -> list[Batch]:
    """Batches of the first held-out rows, each of one shape."""
    found = []
    chosen = range(min(VALIDATION_ROWS, len(rows)))
    for group in sorted({int(rows.groups[place]) for place in chosen}):
        places = [place for place in chosen if rows.groups[place] == group]
        for start in range(0, len(places), VALIDATION_BATCH):
            part = rows.read(places[start : start + VALIDATION_BATCH])
            found.append(batches(part, [0] * len(part)))
    return found


def _load(kind: Any, base: str, part: str, revision: str | None, dtype: torch.dtype) -> Any:
    """A part of the base that stays as it is."""
    loaded = kind.from_pretrained(
        base, subfolder=part, revision=revision, dtype=dtype, use_safetensors=True
    )
    return loaded.requires_grad_(False)
