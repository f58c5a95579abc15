"""Boxes over grids of pixels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.adapter.geometry import covered, fourier, make_grid, pixel_centres

side = st.floats(0.0, 1.0)


@st.composite
def boxes(draw: st.DrawFn) -> list[float]:
    """Boxes of at least a hundredth of the picture on each side."""
    x, y = draw(st.floats(0, 0.99)), draw(st.floats(0, 0.99))
    width, height = draw(st.floats(0.01, 1 - x)), draw(st.floats(0.01, 1 - y))
    return [x, y, x + width, y + height]


def grid_of(box: list[float], size: tuple[int, int]) -> torch.Tensor:
    """[height, width] log coverage of one box."""
    valid = torch.ones(1, 1, dtype=torch.bool)
    return make_grid(torch.tensor([[box]]), valid, size, 2).bias[0, 0, :, 1].view(size)


def test_fourier_features_are_sines_and_cosines_of_octaves() -> None:
    found = fourier(torch.tensor([0.25]), 3)
    angles = [math.pi / 4, math.pi / 2, math.pi]
    wanted = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    assert found.tolist() == pytest.approx(wanted, abs=1e-6)


@given(boxes(), st.sampled_from([(8, 8), (5, 12), (1, 1)]))
def test_pixels_within_a_box_are_covered_more_than_those_beyond(
    box: list[float], size: tuple[int, int]
) -> None:
    bias = grid_of(box, size).flatten()
    centres = pixel_centres(size)
    corners = torch.tensor(box)
    inside = ((centres > corners[:2]) & (centres < corners[2:])).all(-1)
    cells = torch.tensor([size[1], size[0]])
    beyond = ((corners[:2] - centres) * cells > 1).any(-1) | (
        (centres - corners[2:]) * cells > 1
    ).any(-1)
    assert bool((bias[inside] > math.log(0.97)).all())
    assert bool((bias[beyond] < math.log(0.03)).all())
    assert bool((bias > math.log(0.45)).any()), "the smallest box has a pixel"
    assert torch.equal(
        covered(torch.tensor([[box]]), torch.ones(1, 1).bool(), size)[0].flatten(), inside
    )


def test_a_pixel_knows_which_part_of_its_box_it_is() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]]])
    grid = make_grid(boxes, torch.ones(1, 2, dtype=torch.bool), (4, 8), 3)
    left, right = grid.inside[0, :, 0].view(4, 8, -1), grid.inside[0, :, 1].view(4, 8, -1)
    assert torch.allclose(left[:, :4], right[:, 4:], atol=1e-5), "equal places in equal boxes"
    assert not torch.allclose(left[:, :1], left[:, 1:2], atol=1e-2)


def test_what_is_not_valid_hides_and_the_first_token_is_always_seen() -> None:
    boxes = torch.tensor([[[0.1, 0.1, 0.9, 0.9], [0.1, 0.1, 0.9, 0.9]]])
    grid = make_grid(boxes, torch.tensor([[True, False]]), (4, 4), 2)
    shares = grid.bias.softmax(-1)[0, 0]
    assert not shares[:, 2].any()
    assert bool((shares[:, 0] > 0).all())
    assert not grid.inside[0, :, 1].any()
