"""Training the planner: cross entropy of a layout's tokens after its caption."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from spatialgen.planner.batches import IGNORED, LayoutBatches
from spatialgen.planner.planner import LayoutPlanner
from spatialgen.relations.swap import swap_sides
from spatialgen.training.task import Batch, Task


class PlannerTask(Task):
    """What the loop trains for a LayoutPlanner."""

    def __init__(
        self,
        planner: LayoutPlanner,
        judge: Callable[[LayoutPlanner], Mapping[str, float]],
        *,
        seed: int,
        smoothing: float,
        mirrored: float,
        swap: Callable[[str], str | None] = swap_sides,
        renamed: float = 0.0,
        published: Mapping[str, Any],
    ) -> None:
        """`judge`: figures of a planner on held-out captions, `score` among them; `smoothing`:
        standard deviation, in bins, of what is taught for a coordinate, as its neighbours are
        nearly as right; `mirrored`, `swap`, `renamed`: see LayoutBatches; `published` goes into the
        planner's config."""
        self.planner, self.modules, self.judge = planner, planner.model, judge
        self.collate = LayoutBatches(
            planner.tokenizer, planner.vocabulary, seed, mirrored, swap, renamed
        )
        self.published = published
        places = torch.arange(len(planner.vocabulary.bins), dtype=torch.float32)
        near = -0.5 * ((places[:, None] - places[None]) / max(smoothing, 1e-6)) ** 2
        self.taught = near.softmax(-1)  # [bin, bin]: rows sum to 1

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Mean cross entropy per row over its coordinates (`box`) and its other tokens (`text`),
        each weighted by its share of the tokens."""
        labels = batch["labels"]
        kept = labels.shape[1]
        positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        logits = self.modules(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            position_ids=positions,
            logits_to_keep=kept + 1,
        ).logits[:, :-1]
        said = logits.float().log_softmax(-1)
        bins = self.planner.vocabulary.bins
        is_text = labels != IGNORED
        is_box = (labels >= bins.start) & (labels < bins.stop)
        exact = -said.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        taught = self.taught.to(said.device)[(labels - bins.start).clamp(0, len(bins) - 1)]
        near = -(taught * said[..., bins.start : bins.stop]).sum(-1)
        tokens = is_text.sum(-1)
        return {
            "text": (exact * (is_text & ~is_box)).sum(-1) / tokens,
            "box": (near * is_box).sum(-1) / tokens,
        }

    def validate(self) -> Mapping[str, float]:
        """The judge's figures."""
        return self.judge(self.planner)

    def publish(self, folder: Path) -> None:
        """The planner's folder."""
        self.planner.save_pretrained(folder, **self.published)
