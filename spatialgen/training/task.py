"""What a training gives the loop."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

Batch = dict[str, torch.Tensor]  # the first dimension of each is rows


class Collate(Protocol):
    """From rows to a batch of tensors, in any process."""

    def __call__(self, rows: list[dict[str, Any]], epochs: list[int]) -> Batch:
        """The batch; `epochs` says of each row how often it was seen before."""


class Task(ABC):
    """One training: its modules, what a batch is, what is lost on it, how it is judged."""

    modules: torch.nn.Module  # whose parameters with requires_grad are trained
    step: int = 0  # steps done, told by the loop before it validates
    collate: Collate  # chance in it only by order.row_generator; goes to worker processes

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The terms of the loss, [rows] each; their sum is minimised."""

    def figures(self) -> Mapping[str, float]:
        """More about the step that was just taken, for the curve."""
        return {}

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Figures on held-out rows of the weights in place; `score`, the higher the better, chooses
        the weights that are published."""

    @abstractmethod
    def publish(self, folder: Path) -> None:
        """Write the weights in place as what its users load."""
