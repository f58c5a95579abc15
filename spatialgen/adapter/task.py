"""Training the adapter: a frozen UNet is to tell noise better where the layout is known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
        `draw`: shows what the adapter
        does after so many steps."""
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
        totals = {"error": 0.0, "error_without": 0.0, "error_shuffled": 0.0}
        rows = 0
        for each in self._batches:
            batch = {name: value.to(self._device) for name, value in each.items()}
            layouts = layouts_of(batch)
            for name, told in zip(totals, _told(layouts), strict=True):
                totals[name] += float(self._errors(batch, told).sum())
            rows += len(layouts)
        self.adapter.active = None
        if self.draw:
            self.draw(self.adapter, self.step)
        figures = {name: total / rows for name, total in totals.items()}
        return {"score": -figures["error"], **figures}

    @property
    def _device(self) -> torch.device:
        return self.adapter.nothing.device

    def publish(self, folder: Path) -> None:
        """The adapter's folder."""
        self.adapter.save_pretrained(folder)


def _told(layouts: LayoutBatch) -> Iterator[LayoutBatch]:
    """The layouts, none, and each with the boxes of the row before it."""
    yield layouts
    yield layouts.withheld()
    yield LayoutBatch(
        layouts.names, layouts.boxes.roll(1, 0), layouts.valid & layouts.valid.roll(1, 0),
        layouts.given,
    )  # fmt: skip
