"""From rows of the lake to tensors that an adapter is trained on."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spatialgen.adapter.control import LayoutBatch
from spatialgen.encode.buckets import Crop
from spatialgen.encode.states import PromptStates
from spatialgen.encode.tables import Latent, Latents, Prompts
from spatialgen.layouts import Layout, make_layout, mirror
from spatialgen.relations.swap import swap_sides
from spatialgen.training.order import row_generator
from spatialgen.training.task import Batch

NO_CAPTION = ""


@dataclass(frozen=True)
class Seen:
    """A row as it is seen in an epoch."""

    caption: str  # empty: withheld
    layout: Layout
    given: bool  # False: the layout is withheld
    mirrored: bool
    noise: int  # seed of its noise
    time: float  # in [0, 1): how much of it


@dataclass(frozen=True)
class AdapterBatches:
    """Makes batches, without the model, so that worker processes get none. Whatever chance decides
    about a row is a function of (row_id, seed, epoch)."""

    latents: Latents
    prompts: Prompts
    seed: int
    caption_dropout: float
    box_dropout: float
    mirrored: float
    min_area: float
    min_visible: float

    def __call__(self, rows: list[dict[str, Any]], epochs: list[int]) -> Batch:
        """latents and noise [rows, channels, h, w], time [rows] in [0, 1), time_ids [rows, 6],
        states [rows, longest, width] with spread [rows, tokens], which names the row of states of
        each token, pooled [rows, width], and the fields of a LayoutBatch."""
        latents = self.latents.take([row["sha256"] for row in rows])
        seen = [self._see(*each) for each in zip(rows, epochs, latents, strict=True)]
        texts = dict.fromkeys(each.caption for each in seen)
        texts |= dict.fromkeys(thing.name for each in seen for thing in each.layout)
        states = dict(zip(texts, self.prompts.take([*texts]), strict=True))
        width = states[seen[0].caption].states.shape[1]
        layouts = LayoutBatch.of(
            [[states[thing.name].mean for thing in each.layout] for each in seen],
            [[thing.bbox for thing in each.layout] for each in seen],
            width,
        )
        layouts.given[:] = torch.tensor([each.given for each in seen])
        pictures = [_picture(*each) for each in zip(latents, seen, strict=True)]
        return {
            "latents": torch.stack(pictures),
            "noise": torch.stack([_noise(p, s) for p, s in zip(pictures, seen, strict=True)]),
            "time": torch.tensor([each.time for each in seen]),
            "time_ids": torch.stack([_sizes(*each) for each in zip(latents, seen, strict=True)]),
            **spread([states[each.caption] for each in seen]),
            **vars(layouts),
        }

    def plain(self) -> "AdapterBatches":
        """The same with nothing withheld or mirrored."""
        return replace(self, caption_dropout=0.0, box_dropout=0.0, mirrored=0.0)

    def layouts(self, rows: list[dict[str, Any]]) -> list[Layout]:
        """The rows' boxes as their crops show them."""
        latents = self.latents.take([row["sha256"] for row in rows])
        return [self._project(*each) for each in zip(rows, latents, strict=True)]

    def _project(self, row: dict[str, Any], latent: Latent) -> Layout:
        layout = make_layout(row["objects"])
        sizes = {"min_area": self.min_area, "min_visible": self.min_visible}
        return latent.crop.project(layout, **sizes)

    def _see(self, row: dict[str, Any], epoch: int, latent: Latent) -> Seen:
        rng = row_generator(row["row_id"], self.seed, epoch)
        caption, mirrored = row["caption"], False
        wishes = rng.random(3)  # always three, so that no param changes what another decides
        if latent.mirrored is not None and wishes[0] < self.mirrored:
            swapped = swap_sides(caption)
            if swapped is not None and self.prompts.known([swapped])[0]:
                caption, mirrored = swapped, True
        given = row["boxed"] and wishes[2] >= self.box_dropout
        layout = self._project(row, latent) if given else ()
        return Seen(
            caption=NO_CAPTION if wishes[1] < self.caption_dropout else caption,
            layout=mirror(layout) if mirrored else layout,
            given=given,
            mirrored=mirrored,
            noise=int(rng.integers(2**63)),
            time=float(rng.random()),
        )


def spread(prompts: list[PromptStates]) -> dict[str, Tensor]:
    """states, spread and pooled of prompts, as AdapterBatches gives them: pads stand once."""
    longest = max(len(each.states) for each in prompts)
    states = torch.stack([
        torch.nn.functional.pad(each.states, (0, 0, 0, longest - len(each.states)))
        for each in prompts
    ])  # fmt: skip
    tokens = torch.stack([
        (torch.arange(each.pads + len(each.states) - 1) - (each.pads - 1)).clamp(min=0)
        for each in prompts
    ])  # fmt: skip
    return {
        "states": states,
        "spread": tokens,
        "pooled": torch.stack([each.pooled for each in prompts]),
    }


def gather(batch: Batch) -> Tensor:
    """[rows, tokens, width] states of every token, pads included, as the UNet takes them."""
    index = batch["spread"][..., None].expand(-1, -1, batch["states"].shape[-1])
    return batch["states"].gather(1, index)


def layouts_of(batch: Batch) -> LayoutBatch:
    """The layouts of a batch."""
    return LayoutBatch(batch["names"], batch["boxes"], batch["valid"], batch["given"])


def _picture(latent: Latent, seen: Seen) -> Tensor:
    if not seen.mirrored:
        return latent.latents
    assert latent.mirrored is not None
    return latent.mirrored


def _noise(picture: Tensor, seen: Seen) -> Tensor:
    rng = np.random.default_rng(seen.noise)
    return torch.from_numpy(rng.standard_normal(picture.shape, np.float32))


def _sizes(latent: Latent, seen: Seen) -> Tensor:
    """SDXL's micro-conditioning (Podell et al., arXiv:2307.01952): original height and width, the
    crop's top and left, target height and width.

    Of a picture that was scaled down no more detail is left than its target has, so it is told as
    large as its target, which is also what pipelines tell.
    """
    crop: Crop = latent.crop
    left = crop.scaled_width - crop.left - crop.width if seen.mirrored else crop.left
    original = min(latent.picture_height, crop.height), min(latent.picture_width, crop.width)
    return torch.tensor([*original, crop.top, left, crop.height, crop.width], dtype=torch.float32)
