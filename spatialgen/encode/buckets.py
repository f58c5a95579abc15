"""Aspect-ratio buckets: pictures of any shape as crops of a few, all of about the same area.

A picture is scaled to cover its bucket, and cut at the middle; its boxes go through the same.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from spatialgen.errors import ParamsError
from spatialgen.layouts import BBox, Layout, Placed


@dataclass(frozen=True)
class Crop:
    """A part of a scaled picture, in pixels of the scaled picture."""

    scaled_width: int
    scaled_height: int
    left: int
    top: int
    width: int
    height: int

    def show(self, picture: Image.Image) -> Image.Image:
        """The part, width x height: averaged where the picture shrinks, bicubic where it grows."""
        across, down = picture.width / self.scaled_width, picture.height / self.scaled_height
        shrinks = across * down >= 1
        return picture.resize(
            (self.width, self.height),
            Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC,
            # What the crop leaves out is never scaled, for of a long picture it may be large.
            box=(
                self.left * across,
                self.top * down,
                min((self.left + self.width) * across, picture.width),
                min((self.top + self.height) * down, picture.height),
            ),
        )

    def project(self, layout: Layout, *, min_area: float, min_visible: float) -> Layout:
        """The layout of the part, without boxes of which less than `min_visible` is in it, or whose
        part in it is less than `min_area` of it."""
        projected = []
        for each in layout:
            whole = self._through(each.bbox)
            x1, y1, x2, y2 = (min(max(side, 0.0), 1.0) for side in whole)
            area = (x2 - x1) * (y2 - y1)
            visible = area / ((whole[2] - whole[0]) * (whole[3] - whole[1]))
            if area > 0 and area >= min_area and visible >= min_visible:
                projected.append(Placed(each.name, (x1, y1, x2, y2)))
        return tuple(projected)

    def _through(self, bbox: BBox) -> BBox:
        """A box of the picture in units of the part; it may reach beyond [0, 1]."""
        x1, y1, x2, y2 = bbox
        return (
            (x1 * self.scaled_width - self.left) / self.width,
            (y1 * self.scaled_height - self.top) / self.height,
            (x2 * self.scaled_width - self.left) / self.width,
            (y2 * self.scaled_height - self.top) / self.height,
        )


@dataclass(frozen=True)
class Buckets:
    """All (width, height) of multiples of `step` pixels, width / height or its inverse at most
    `max_aspect`, where one side is as near as it can be to resolution^2 / the other."""

    resolution: int
    step: int
    max_aspect: float

    def __post_init__(self) -> None:
        """ParamsError where there is none."""
        if not self.shapes:
            raise ParamsError(
                f"encode.resolution = {self.resolution} has no bucket of multiples of encode.step "
                f"= {self.step} within encode.max_aspect = {self.max_aspect}; take a smaller step "
                "or a larger aspect"
            )

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) in pixels, the tallest first."""
        longest = math.ceil(self.resolution * math.sqrt(self.max_aspect)) + self.step
        found = set()
        for side in range(self.step, longest + 1, self.step):
            other = self.step * max(1, round(self.resolution**2 / side / self.step))
            if max(side / other, other / side) <= self.max_aspect:
                found |= {(side, other), (other, side)}
        return tuple(sorted(found, key=lambda shape: (shape[0] / shape[1], shape)))

    def of(self, width: int, height: int) -> Crop:
        """The crop of a picture of width x height pixels, to the bucket nearest in log aspect."""
        across, down = min(
            self.shapes, key=lambda shape: abs(math.log(shape[0] / shape[1] / (width / height)))
        )
        scale = max(across / width, down / height)
        scaled = max(across, round(width * scale)), max(down, round(height * scale))
        left, top = (scaled[0] - across) // 2, (scaled[1] - down) // 2
        return Crop(*scaled, left, top, across, down)
