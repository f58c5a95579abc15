"""How far painted pictures are from true ones, in the features of two networks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spatialgen.evaluation.asked import Case
from spatialgen.evaluation.painted import Painted
from spatialgen.fid import Inception, frechet
from spatialgen.grounding.detector import Detector
from spatialgen.grounding.pictures import Pictures, decode
from spatialgen.kid import BLOCKS, kid
from spatialgen.lake.keyed import KeyedRows
from spatialgen.lake.lake import Lake
from spatialgen.statistics import NOT_MEASURED, Figure

BATCH = 64
Features = NDArray[np.float64]  # [n, d]
Network = Callable[[Sequence[Image.Image]], Features]
Distance = Callable[[Features, Features], Figure]


@dataclass(frozen=True)
class Networks:
    """What pictures are compared by: the detector for KID, and Inception, if there, for FID."""

    detector: Detector
    inception: Inception | None

    def by_detector(self, pictures: Sequence[Image.Image]) -> Features:
        """[n, d]."""
        features: Features = self.detector.features(pictures).double().cpu().numpy()
        return features


def measure_distances(
    lake: Lake, painted: Mapping[str, Sequence[Painted]], true: Sequence[Case], networks: Networks
) -> dict[str, dict[str, Figure]]:
    """KID and FID of each condition's pictures from the true pictures of some cases, of as many of
    both. KID needs 2 * BLOCKS of each, FID two; what has fewer, or no network, is not measured."""
    measures: dict[str, tuple[Network | None, Distance]] = {
        "kid": (networks.by_detector, _kid),
        "fid": (networks.inception, _fid),
    }
    found: dict[str, dict[str, Figure]] = {condition: {} for condition in painted}
    for name, (network, distance) in measures.items():
        real = _features(network, true_pictures(lake, true)) if network else None
        for condition, rows in painted.items():
            pictures = painted_pictures(lake, _first_seeds(rows)[: len(true)])
            features = _features(network, pictures) if network else None
            figure = NOT_MEASURED
            if features is not None and real is not None:
                figure = distance(features, real)
            found[condition][name] = figure
    return found


def _kid(painted: Features, real: Features) -> Figure:
    n = min(len(painted), len(real))
    return kid(painted[:n], real[:n]) if n >= 2 * BLOCKS else NOT_MEASURED


def _fid(painted: Features, real: Features) -> Figure:
    n = min(len(painted), len(real))
    return Figure(frechet(painted[:n], real[:n]), None, None, n) if n > 1 else NOT_MEASURED


def _first_seeds(rows: Sequence[Painted]) -> list[int]:
    """The ids of what was painted, a picture of each caption before a second of one."""
    there = [each.row for each in rows if each.row is not None]
    return [row["generation_id"] for row in sorted(there, key=lambda row: row["seed"])]


def true_pictures(lake: Lake, cases: Sequence[Case]) -> Iterator[Image.Image]:
    """The cases' own pictures, as cropped."""
    pictures = Pictures(lake["images"].dataset())
    for case in cases:
        yield case.crop.show(pictures.show(case.sha256))


def painted_pictures(lake: Lake, ids: Sequence[int]) -> Iterator[Image.Image]:
    """Pictures of lake/generations by generation_id."""
    rows = KeyedRows(str(lake.path("generations")), "generation_id")
    for start in range(0, len(ids), BATCH):
        for row in rows.take(ids[start : start + BATCH], ["image"]):
            yield decode(row["image"])


def _features(network: Network, pictures: Iterator[Image.Image]) -> Features | None:
    """[n, d], some pictures at a time; None without a picture."""
    parts: list[Features] = []
    while held := list(islice(pictures, BATCH)):
        parts.append(network(held))
    return np.concatenate(parts) if parts else None
