"""The network of FID: Inception V3 as TensorFlow's of 2015-12-05 computes it.

Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567. Names of weights are
torchvision's, so that pytorch-fid's port of the original loads (github.com/mseitzer/pytorch-fid).
As there, averages around the border are of what is inside, and the last block takes a maximum where
the paper averages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kernel = tuple[int, int]
Pool = Callable[[Tensor], Tensor]
average: Pool = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
maximum: Pool = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
halved: Pool = partial(F.max_pool2d, kernel_size=3, stride=2)


@dataclass(frozen=True)
class Unit:
    """A convolution of a branch; padded to keep the size, unless it strides."""

    name: str
    outer: int  # channels
    kernel: Kernel
    stride: int


Step = Unit | tuple[Unit, Unit]


class Convolution(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(
        self,
        inner: int,
        outer: int,
        kernel: Kernel,
        stride: int = 1,
        *,
        padded: bool | None = None,  # None: unless it strides
    ) -> None:
        super().__init__()
        padded = stride == 1 if padded is None else padded
        padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inner, outer, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outer, eps=0.001)

    def forward(self, states: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(states)))


class Mixed(nn.Module):
    """Branches of convolutions beside each other, and a pooled one; their channels joined.

    `branches` hold units that follow each other; where two stand together, both are given what
    comes before. The pooled branch has a convolution of `pooled` channels, or none.
    """

    def __init__(
        self,
        inner: int,
        branches: Sequence[Sequence[Step]],
        pool: Pool,
        pooled: int = 0,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.paths: list[list[list[str]]] = []  # of each branch and step: the units' names
        for branch in branches:
            width, path = inner, []
            for step in branch:
                units = [step] if isinstance(step, Unit) else [*step]
                for unit in units:
                    layer = Convolution(width, unit.outer, unit.kernel, unit.stride)
                    self.add_module(unit.name, layer)
                width = sum(unit.outer for unit in units)
                path.append([unit.name for unit in units])
            self.paths.append(path)
        self.branch_pool = Convolution(inner, pooled, (1, 1)) if pooled else nn.Identity()

    def forward(self, states: Tensor) -> Tensor:
        found = []
        for path in self.paths:
            inside = states
            for names in path:
                inside = torch.cat([self.get_submodule(name)(inside) for name in names], 1)
            found.append(inside)
        return torch.cat([*found, self.branch_pool(self.pool(states))], 1)


def _unit(name: str, outer: int, *kernel: int, stride: int = 1) -> Unit:
    return Unit(f"branch{name}", outer, (kernel[0], kernel[-1]), stride)


def _block_a(inner: int, pooled: int) -> Mixed:
    return Mixed(
        inner,
        (
            (_unit("1x1", 64, 1),),
            (_unit("5x5_1", 48, 1), _unit("5x5_2", 64, 5)),
            (_unit("3x3dbl_1", 64, 1), _unit("3x3dbl_2", 96, 3), _unit("3x3dbl_3", 96, 3)),
        ),
        average,
        pooled,
    )


def _block_b(inner: int) -> Mixed:
    double = (_unit("3x3dbl_1", 64, 1), _unit("3x3dbl_2", 96, 3))
    return Mixed(
        inner,
        ((_unit("3x3", 384, 3, stride=2),), (*double, _unit("3x3dbl_3", 96, 3, stride=2))),
        halved,
    )


def _block_c(inner: int, c: int) -> Mixed:
    return Mixed(
        inner,
        (
            (_unit("1x1", 192, 1),),
            (_unit("7x7_1", c, 1), _unit("7x7_2", c, 1, 7), _unit("7x7_3", 192, 7, 1)),
            (
                _unit("7x7dbl_1", c, 1),
                _unit("7x7dbl_2", c, 7, 1),
                _unit("7x7dbl_3", c, 1, 7),
                _unit("7x7dbl_4", c, 7, 1),
                _unit("7x7dbl_5", 192, 1, 7),
            ),
        ),
        average,
        192,
    )


def _block_d(inner: int) -> Mixed:
    seven = (_unit("7x7x3_1", 192, 1), _unit("7x7x3_2", 192, 1, 7), _unit("7x7x3_3", 192, 7, 1))
    return Mixed(
        inner,
        (
            (_unit("3x3_1", 192, 1), _unit("3x3_2", 320, 3, stride=2)),
            (*seven, _unit("7x7x3_4", 192, 3, stride=2)),
        ),
        halved,
    )


def _block_e(inner: int, pool: Pool) -> Mixed:
    def both(name: str) -> tuple[Unit, Unit]:
        return _unit(f"{name}a", 384, 1, 3), _unit(f"{name}b", 384, 3, 1)

    return Mixed(
        inner,
        (
            (_unit("1x1", 320, 1),),
            (_unit("3x3_1", 384, 1), both("3x3_2")),
            (_unit("3x3dbl_1", 448, 1), _unit("3x3dbl_2", 384, 3), both("3x3dbl_3")),
        ),
        pool,
        192,
    )


class InceptionV3(nn.Module):
    """[n, 3, 299, 299] pixels in [-1, 1] -> [n, 2048], the means of the last states."""

    SIDE = 299

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, (3, 3), 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = Convolution(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = Convolution(80, 192, (3, 3), padded=False)
        self.Mixed_5b = _block_a(192, 32)
        self.Mixed_5c = _block_a(256, 64)
        self.Mixed_5d = _block_a(288, 64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b = _block_c(768, 128)
        self.Mixed_6c = _block_c(768, 160)
        self.Mixed_6d = _block_c(768, 160)
        self.Mixed_6e = _block_c(768, 192)
        self.Mixed_7a = _block_d(768)
        self.Mixed_7b = _block_e(1280, average)
        self.Mixed_7c = _block_e(2048, maximum)

    def forward(self, pixels: Tensor) -> Tensor:
        states: Tensor = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(pixels)))
        states = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(halved(states)))
        states = halved(states)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                states = block(states)
        return states.mean((2, 3))
