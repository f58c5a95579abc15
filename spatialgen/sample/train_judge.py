"""Train the second judge: a small convolutional detector of the sample world's things.

    python -m spatialgen.sample.train_judge --out DIR

It must judge generated pictures as well as drawn ones, and never sees a generated one: what it
learns from are clean pictures, blurred ones, and what a small autoencoder, trained in the first
steps and dropped in the end, makes of them.
"""

import random
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from spatialgen.grounding.detector import STRIDE, Detector, DetectorConfig, to_bytes, to_pixels
from spatialgen.grounding.scores import BoxScores
from spatialgen.project import guard
from spatialgen.sample.annotator_data import shown_objects, training_view
from spatialgen.sample.training import VALIDATION, Settings, Training, seed_of, train_pictures
from spatialgen.sample.world.classes import THINGS
from spatialgen.sample.world.view import View

DEFAULTS = Settings(steps=2000, seed=1000, rate=2e-3)  # no other model's seed
ENCODES = 0.15  # share of the steps that train the autoencoder
KINDS = {"clean": 0.3, "blurred": 0.3, "rebuilt": 0.4}  # shares of the pictures
BLUR = (0.4, 1.6)  # pixels, standard deviation
LATENTS = 16  # channels of the autoencoder at 1/8 of the side
NOISE = 0.3  # of the latents' deviation: what a generator's latents are off by
SPREAD = 0.7  # cells: how far from a thing's centre a peak still counts


class Autoencoder(nn.Module):
    """Pictures to 1/8 of the side and back, as a latent diffusion model's decoder sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.SiLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.SiLU(),
            nn.Conv2d(64, LATENTS, 4, 2, 1),
        )  # fmt: skip
        self.decode = nn.Sequential(
            nn.Conv2d(LATENTS, 96, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=2),
            nn.Conv2d(96, 64, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=2),
            nn.Conv2d(64, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )  # fmt: skip

    def forward(self, pixels: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        latents = self.encode(pixels)
        rebuilt: Tensor = self.decode(latents + noise * latents.std() * torch.randn_like(latents))
        return rebuilt


class JudgeTraining(Training):
    """The autoencoder first, then the detector on what it makes of pictures."""

    def __init__(
        self, settings: Settings, device: str = "cpu", validation: int = VALIDATION
    ) -> None:
        torch.manual_seed(settings.seed)
        self.device, self.validation = device, validation
        self.detector = Detector(DetectorConfig(tuple(THINGS)))
        self.autoencoder = Autoencoder()
        modules = {"detector": self.detector, "autoencoder": self.autoencoder}
        super().__init__(nn.ModuleDict(modules).to(device), settings)

    def views(self, step: int) -> list[View]:
        """The views of `step`."""
        size = self.settings.batch
        first = step * size
        return [training_view("train", self.settings.seed, first + i) for i in range(size)]

    def losses(self, step: int) -> dict[str, Tensor]:
        """The autoencoder's at first, then the detector's."""
        torch.manual_seed(seed_of(self.settings.seed, step))
        views = self.views(step)
        rng = random.Random(f"{self.settings.seed}:{step}")
        pictures = [view.draw() for view in views]
        if step < ENCODES * self.settings.steps:
            pixels = self.pixels(pictures)
            return {"rebuilt": (self.autoencoder(pixels, 0.05) - pixels).abs().mean()}
        kinds = rng.choices(tuple(KINDS), tuple(KINDS.values()), k=len(views))
        for number, kind in enumerate(kinds):
            if kind == "blurred":
                blur = ImageFilter.GaussianBlur(rng.uniform(*BLUR))
                pictures[number] = pictures[number].filter(blur)
        pixels = self.pixels(pictures)
        rebuilt = torch.tensor([kind == "rebuilt" for kind in kinds], device=self.device)
        if rebuilt.any():
            with torch.no_grad():
                noise = torch.rand(int(rebuilt.sum()), 1, 1, 1, device=self.device) * NOISE
                pixels[rebuilt] = self.autoencoder(pixels[rebuilt], noise).clamp(-1, 1)
        return self.detector_losses(pixels, views)

    def detector_losses(self, pixels: Tensor, views: Sequence[View]) -> dict[str, Tensor]:
        """Focal loss of the heat maps (CenterNet's, alpha 2, beta 4), and IoU loss of the boxes."""
        heat, boxes, centres = (torch.from_numpy(each).to(self.device) for each in targets(views))
        logits, sides = self.detector(pixels)
        chance = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
        hit = heat == 1
        positive = ((1 - chance) ** 2 * chance.log())[hit].sum()
        negative = ((1 - heat) ** 4 * chance**2 * (1 - chance).log())[~hit].sum()
        number, row, column = centres.T
        near = sides[number, :, row, column]
        return {
            "heat": -(positive + negative) / max(1, int(hit.sum())),
            "overlap": 1 - iou_of_sides(near, boxes).mean(),
            "sides": 0.1 * (near - boxes).abs().mean(),  # has a gradient where nothing overlaps
        }

    def pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """In [-1, 1], on the device."""
        return to_pixels(np.stack([np.asarray(each) for each in pictures])).to(self.device)

    @cached_property
    def held_out(self) -> list[View]:
        """Validation views."""
        return [training_view("validation", self.settings.seed, i) for i in range(self.validation)]

    def evaluate(self) -> dict[str, float]:
        """Scores on clean pictures, and on rebuilt ones."""
        if self.step <= ENCODES * self.settings.steps:
            return {}
        pictures = [view.draw() for view in self.held_out]
        rebuilt = rebuild(self.autoencoder, self.pixels(pictures))
        clean = score(self.detector, pictures, self.held_out)
        again = score(self.detector, rebuilt, self.held_out)
        return clean | {f"rebuilt_{name}": value for name, value in again.items()}

    def publish(self, folder: Path) -> None:
        """The averaged detector."""
        self.detector.save_pretrained(folder, self.averaged_part("detector"))


Targets = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]


def targets(views: Sequence[View]) -> Targets:
    """Heat maps [n, classes, h, w] that are 1 at the cells of things' centres and fade around;
    distances [k, 4] in cells, and (view, row, column) [k, 3] of the cells they are seen from."""
    classes = list(THINGS)
    cells = DetectorConfig(tuple(classes)).side // STRIDE
    heat = np.zeros((len(views), len(classes), cells, cells), np.float32)
    grid = np.arange(cells) + 0.5
    distances, places = [], []
    for number, view in enumerate(views):
        for thing, box in zip(view.scene.things, view.boxes, strict=True):
            x, y = box.x / STRIDE, box.y / STRIDE
            column, row = min(cells - 1, int(x)), min(cells - 1, int(y))
            bump = np.exp(
                -((grid[None] - x) ** 2 + (grid[:, None] - y) ** 2) / (2 * SPREAD**2)
            ).astype(np.float32)
            bump[row, column] = 1
            layer = heat[number, classes.index(thing.name)]
            np.maximum(layer, np.minimum(bump, 1), out=layer)
            edges = [side / STRIDE for side in (box.left, box.top, box.right, box.bottom)]
            for r, c in {(row, column), *_neighbours(bump)}:
                here = (c + 0.5, r + 0.5)
                sides = (here[0] - edges[0], here[1] - edges[1], edges[2] - here[0],
                         edges[3] - here[1])  # fmt: skip
                if min(sides) > 0:
                    distances.append(sides)
                    places.append((number, r, c))
    return heat, np.array(distances, np.float32), np.array(places, np.int64)


def _neighbours(bump: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Cells near enough to a centre to know its box, too."""
    return [(int(row), int(column)) for row, column in np.argwhere(bump > 0.35)]


def iou_of_sides(predicted: Tensor, true: Tensor) -> Tensor:
    """[k] IoU of boxes given by distances [k, 4] from one point inside the true one."""
    common = torch.minimum(predicted, true)
    inner = (common[:, 0] + common[:, 2]) * (common[:, 1] + common[:, 3])
    areas = [(s[:, 0] + s[:, 2]) * (s[:, 1] + s[:, 3]) for s in (predicted, true)]
    return inner / (areas[0] + areas[1] - inner)


def rebuild(autoencoder: Autoencoder, pixels: Tensor) -> list[Image.Image]:
    """Pictures as the autoencoder sees them."""
    return [Image.fromarray(array) for array in to_bytes(autoencoder(pixels))]


def score(
    detector: Detector, pictures: Sequence[Image.Image], views: Sequence[View], size: int = 64
) -> dict[str, float]:
    """Scores of all detections; nobody asks for names, so what is found of one that is not there
    is a false alarm like any other."""
    scores = BoxScores()
    for start in range(0, len(views), size):
        found = detector.detect(pictures[start : start + size])
        for detections, view in zip(found, views[start : start + size], strict=True):
            truth = {name: boxes for name, boxes in shown_objects(view).items() if name in THINGS}
            predicted: dict[str, list[list[float]]] = {}
            for each in detections:
                predicted.setdefault(each.name, []).append(each.bbox)
            scores.add(predicted, truth, unasked=True)
    figures = scores.figures()
    del figures["false_box_rate"]  # of names asked for
    return figures


def start(settings: Settings, device: str, validation: int, _: Path) -> JudgeTraining:
    """A run, wherever its files go."""
    return JudgeTraining(settings, device, validation)


if __name__ == "__main__":
    guard(lambda: train_pictures("Train the second judge.", DEFAULTS, start))
