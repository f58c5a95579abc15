"""What a training paints on the way: held-out captions, with the boxes that they were given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.adapter.batches import NO_CAPTION, AdapterBatches, gather, layouts_of, spread
from spatialgen.adapter.rows import AdapterRows
from spatialgen.drawing import AGREES, Panel, draw_panels
from spatialgen.encode.generator import decode_latents
from spatialgen.grounding.detector import to_bytes
from spatialgen.training.task import Batch

PICTURES, STEPS, GUIDANCE = 8, 10, 5.0


@dataclass(frozen=True)
class ValidationGrid:
    """Paints the first held-out rows of one shape, always from the same noise."""

    folder: Path
    batches: AdapterBatches  # without dropout and mirroring
    rows: AdapterRows
    unet: Any
    vae: Any
    scheduler: Any

    def __call__(self, adapter: SpatialAdapter, step: int) -> Path:
        """Write folder/step-<step>.jpg."""
        places = [p for p in range(len(self.rows)) if self.rows.groups[p] == self.rows.groups[0]]
        rows = self.rows.read(places[:PICTURES])
        pictures = self.paint(adapter, self.batches(rows, [0] * len(rows)))
        panels = [
            Panel(
                picture, [(thing.name, thing.bbox) for thing in layout], [(row["caption"], AGREES)]
            )
            for picture, row, layout in zip(pictures, rows, self.batches.layouts(rows), strict=True)
        ]
        path = self.folder / f"step-{step}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_panels(panels).save(path, quality=88)
        return path

    @torch.no_grad()
    def paint(self, adapter: SpatialAdapter, batch: Batch) -> list[Image.Image]:
        """The rows of a batch with classifier-free guidance, without any pipeline: prompts are
        encoded already."""
        device, kind = self.unet.device, self.unet.dtype
        nothing = spread(self.batches.prompts.take([NO_CAPTION]) * len(batch["latents"]))
        both = [{name: each.to(device) for name, each in part.items()} for part in (nothing, batch)]
        states = torch.cat([gather(part) for part in both]).to(kind)
        pooled = torch.cat([part["pooled"] for part in both]).to(kind)
        sizes = both[1]["time_ids"].repeat(2, 1).to(kind)
        layouts = layouts_of(both[1])
        self.scheduler.set_timesteps(STEPS)
        latents = both[1]["noise"] * self.scheduler.init_noise_sigma
        size = (latents.shape[-2], latents.shape[-1])
        with adapter.using(adapter.control(layouts.withheld() + layouts, size)):
            for time in self.scheduler.timesteps:
                twice = self.scheduler.scale_model_input(torch.cat([latents] * 2), time)
                without, told = self.unet(
                    twice.to(kind),
                    time.to(device),
                    encoder_hidden_states=states,
                    added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
                ).sample.float().chunk(2)  # fmt: skip
                wanted = without + GUIDANCE * (told - without)
                latents = self.scheduler.step(wanted, time, latents).prev_sample
        return self._decode(latents)

    def _decode(self, latents: Tensor) -> list[Image.Image]:
        """One at a time, and off the device again: beside a training there is little room."""
        vae = self.vae.to(latents.device)
        try:
            with torch.autocast(latents.device.type, enabled=False):
                pixels = [to_bytes(decode_latents(vae, each[None]).float())[0] for each in latents]
        finally:
            self.vae.to("cpu")
        return [Image.fromarray(each) for each in pixels]
