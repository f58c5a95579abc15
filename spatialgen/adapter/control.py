"""A batch of layouts, and what it tells all layers during one forward pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from spatialgen.adapter.geometry import Grid

BBox = Sequence[float]


@dataclass(frozen=True)
class LayoutBatch:
    """n layouts of up to o things; what is not `valid` is padding."""

    names: Tensor  # [n, o, name_width] states of the things' names
    boxes: Tensor  # [n, o, 4] xyxy in [0, 1]
    valid: Tensor  # [n, o] bool
    given: Tensor  # [n] bool: whether there is a layout at all; one without things is one, too

    def __len__(self) -> int:
        return len(self.given)

    @classmethod
    def of(
        cls, names: Sequence[Sequence[Tensor]], boxes: Sequence[Sequence[BBox]], width: int
    ) -> "LayoutBatch":
        """Layouts that are given: states [width] and boxes of each thing."""
        most = max(1, *map(len, boxes)) if boxes else 1
        batch = cls(
            torch.zeros(len(boxes), most, width),
            torch.zeros(len(boxes), most, 4),
            torch.zeros(len(boxes), most, dtype=torch.bool),
            torch.ones(len(boxes), dtype=torch.bool),
        )
        for row, (states, corners) in enumerate(zip(names, boxes, strict=True)):
            for place, (state, bbox) in enumerate(zip(states, corners, strict=True)):
                batch.names[row, place] = state
                batch.boxes[row, place] = torch.tensor(bbox)
                batch.valid[row, place] = True
        return batch

    def withheld(self) -> "LayoutBatch":
        """As many rows without a layout."""
        return LayoutBatch(
            self.names,
            self.boxes,
            torch.zeros_like(self.valid),
            torch.zeros_like(self.given),
        )

    def repeat(self, times: int) -> "LayoutBatch":
        """Each row so many times, one after the other."""
        return self._map(lambda each: each.repeat_interleave(times, 0))

    def to(self, device: torch.device | str) -> "LayoutBatch":
        """On this device."""
        return self._map(lambda each: each.to(device))

    def __add__(self, other: "LayoutBatch") -> "LayoutBatch":
        """The rows of both."""
        pairs = zip(self._tensors(), other._tensors(), strict=True)
        return LayoutBatch(*(torch.cat(pair) for pair in pairs))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "LayoutBatch":
        return LayoutBatch(*map(change, self._tensors()))

    def _tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


@dataclass(frozen=True)
class Control:
    """What layouts tell the layers: tokens of things, and a grid for each resolution."""

    tokens: Tensor  # [n, 1 + o, token_width]; the first stands where there is no thing
    grids: Mapping[int, Grid]  # by downsampling factor of the latents
    scale: float = 1.0

    def last(self, rows: int) -> "Control":
        """Of the last so many layouts."""
        grids = {
            factor: Grid(grid.bias[-rows:], grid.inside[-rows:], grid.place)
            for factor, grid in self.grids.items()
        }
        return Control(self.tokens[-rows:], grids, self.scale)
