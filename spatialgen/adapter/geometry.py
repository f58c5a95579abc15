"""Boxes over a grid of pixels, differentiable in the boxes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SHARPNESS = 8.0  # of a box's edge, per cell: a soft edge has a gradient
SLACK = 0.5  # cells by which a box is widened, so that the smallest covers a cell's centre
LEAST_COVERAGE = 1e-4  # whose logarithm still has a gradient
LEAST_SIDE = 1e-2  # of a box, where a place in it is divided by it
BEYOND = 0.5  # of a box: how far outside it a place is told apart


def fourier(values: Tensor, frequencies: int) -> Tensor:
    """[..., d] values in about [0, 1] -> [..., 2 * frequencies * d]: sines and cosines at pi, 2 pi,
    4 pi ... (Mildenhall et al., NeRF, arXiv:2003.08934; boxes so in GLIGEN, arXiv:2301.07093)."""
    octaves = math.pi * 2.0 ** torch.arange(frequencies, device=values.device, dtype=values.dtype)
    angles = values[..., None] * octaves
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


@dataclass(frozen=True)
class Grid:
    """What the layers of one resolution are told of n layouts of o boxes, over p pixels."""

    bias: Tensor  # [n, 1, p, 1 + o] of attention logits: 0 for no thing, log coverage of a box
    inside: Tensor  # [n, p, o, 8 * frequencies] features of the pixel's place in the box
    place: Tensor  # [1, p, 8 * frequencies] features of its place in the picture


def make_grid(boxes: Tensor, valid: Tensor, size: tuple[int, int], frequencies: int) -> Grid:
    """The grid of [n, o, 4] boxes, xyxy in [0, 1], of which [n, o] are valid, over (height, width)
    pixels, in float32."""
    height, width = size
    boxes = boxes.float()
    centres = pixel_centres(size, boxes.device)
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    points = centres[None, :, None]
    cells = torch.tensor([width, height], dtype=torch.float32, device=boxes.device)
    depth = (torch.minimum(points - low, high - points) * cells).amin(-1)  # cells from the edge
    coverage = torch.sigmoid(SHARPNESS * (depth + SLACK))
    bias = torch.log(coverage + LEAST_COVERAGE)
    bias = bias.masked_fill(~valid[:, None], -1e4)  # -inf would make gradients NaN
    extent = high - low
    relative = ((points - low) / extent.clamp(min=LEAST_SIDE)).clamp(-BEYOND, 1 + BEYOND)
    inside = torch.cat([relative, extent.expand_as(relative)], -1)
    inside = fourier(inside / (1 + BEYOND), frequencies) * valid[:, None, :, None]
    return Grid(
        torch.cat([torch.zeros_like(bias[..., :1]), bias], -1)[:, None],
        inside,
        fourier(torch.cat([centres, 1 - centres], -1), frequencies)[None],
    )


def pixel_centres(size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """[height * width, 2] (x, y) in [0, 1], row by row."""
    height, width = size
    ys = (torch.arange(height, device=device) + 0.5) / height
    xs = (torch.arange(width, device=device) + 0.5) / width
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def covered(boxes: Tensor, valid: Tensor, size: tuple[int, int]) -> Tensor:
    """[n, height, width] booleans: whether a pixel's centre is in a valid box."""
    centres = pixel_centres(size, boxes.device)[None, :, None]
    within = (centres > boxes[:, None, :, :2]) & (centres < boxes[:, None, :, 2:])
    return (within.all(-1) & valid[:, None]).any(-1).view(-1, *size)
