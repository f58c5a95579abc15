"""Training the adapter: a frozen UNet is to tell noise better where the layout is known."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor, nn
from tqdm import tqdm

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.adapter.batches import AdapterBatches, gather, layouts_of
from spatialgen.adapter.control import LayoutBatch
from spatialgen.adapter.geometry import covered
from spatialgen.adapter.noise import Noise
from spatialgen.training.task import Batch, Task

BOX_WEIGHT = 2.0  # by how much more an error within a box weighs: things are small


class AdapterTask(Task):
    """What the loop trains for a SpatialAdapter."""

    def __init__(
        self,
        adapter: SpatialAdapter,
        unet: nn.Module,
        noise: Noise,
        collate: AdapterBatches,
        held_out: Callable[[], Sequence[Batch]],
        draw: Callable[[SpatialAdapter, int], Any] | None = None,
    ) -> None:
        """`unet`: frozen, in the precision that it computes in; `held_out`: batches for validation;
        `draw`: shows what the adapter does after so many steps."""
        self.adapter = adapter.install(unet.requires_grad_(False))
        self.unet, self.noise, self.collate, self.draw = unet, noise, collate, draw
        self.modules = nn.ModuleDict({"adapter": adapter, "unet": unet})
        self._held_out, self._batches = held_out, list[Batch]()
        adapter.watch()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Squared errors of each row's prediction, those within boxes weighing more, weighted by
        the timestep. The control stays in place for a backward pass that runs forward again."""
        return {"noise": self._errors(batch, layouts_of(batch))}

    def _errors(self, batch: Batch, layouts: LayoutBatch) -> Tensor:
        latents = batch["latents"]
        size = (latents.shape[-2], latents.shape[-1])
        steps = self.noise.steps(batch["time"])
        noisy, wanted = self.noise.mix(latents, batch["noise"], steps)
        self.adapter.active = self.adapter.control(layouts, size)
        kind = next(self.unet.parameters()).dtype
        predicted = self.unet(
            noisy.to(kind),
            steps,
            encoder_hidden_states=gather(batch).to(kind),
            added_cond_kwargs={
                "text_embeds": batch["pooled"].to(kind),
                "time_ids": batch["time_ids"].to(kind),
            },
        ).sample
        errors = (predicted.float() - wanted.float()).square()
        # By the row's own boxes, whatever the layers are told.
        inside = covered(batch["boxes"], batch["valid"], size)[:, None]
        weighted: Tensor = (errors * (1 + BOX_WEIGHT * inside)).mean((1, 2, 3))
        return weighted * self.noise.weights(steps)

    def figures(self) -> Mapping[str, float]:
        """Of the adapter: gates, and norms of its outputs."""
        return self.adapter.figures()

    def validate(self) -> Mapping[str, float]:
        """Errors on held-out rows with their boxes, with none, and with those of another row: an
        adapter that is not listened to does not tell these apart. The first is the score."""
        self._batches = self._batches or [*self._held_out()]
        errors: dict[str, list[Tensor]] = defaultdict(list)
        for each in self._batches:
            batch = {name: value.to(self._device) for name, value in each.items()}
            for name, told in _told(layouts_of(batch)):
                errors[name].append(self._errors(batch, told).float())
        self.adapter.active = None
        figures = {name: float(torch.cat(some).mean()) for name, some in errors.items()}
        self._show()
        return {"score": -figures["error"], **figures}

    def _show(self) -> None:
        """Paint, for people to look at; a training does not end for want of memory for it."""
        try:
            if self.draw:
                self.draw(self.adapter, self.step)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            tqdm.write(f"no pictures of step {self.step}: they do not fit into memory", sys.stderr)

    @property
    def _device(self) -> torch.device:
        return self.adapter.nothing.device

    def publish(self, folder: Path) -> None:
        """The adapter's folder."""
        self.adapter.save_pretrained(folder)


def _told(layouts: LayoutBatch) -> Iterator[tuple[str, LayoutBatch]]:
    """The layouts, none, and each with the boxes of the row before it, where there is one."""
    yield "error", layouts
    yield "error_without", layouts.withheld()
    if len(layouts) > 1:
        boxes, valid = layouts.boxes.roll(1, 0), layouts.valid & layouts.valid.roll(1, 0)
        yield "error_shuffled", LayoutBatch(layouts.names, boxes, valid, layouts.given)
