"""KID and FID of painted pictures: near for true ones, far for grey ones, not for few."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from spatialgen.evaluation import distances
from spatialgen.evaluation.asked import held_out
from spatialgen.evaluation.distances import Networks, measure_distances, true_pictures
from spatialgen.evaluation.painted import Painted
from spatialgen.fid import Inception
from spatialgen.lake.schemas import GENERATIONS
from spatialgen.sample.generator_data import draw_small
from tests.evaluation.lakes import evaluate_params, fill
from tests.tables import publish

KNOWN = frozenset({"熊猫"})


class Channels(torch.nn.Module):
    """Features that need no weights."""

    def forward(self, pixels):
        return torch.cat([pixels.float().mean((2, 3)), pixels.float().std((2, 3))], 1) / 255


@pytest.fixture
def networks(judges):
    return Networks(judges.detector, Inception(Channels(), "cpu"))


def rows_of(count, first=0):
    """What was painted, two seeds of each caption, in an order that is not the seeds'."""
    return [
        Painted({}, {"generation_id": first + n, "seed": seed})
        for n in range(count)
        for seed in (1, 0)
    ]


def test_true_pictures_are_near_and_grey_ones_far(lake, networks, monkeypatch):
    views = fill(lake, sides=0, others=84)
    cases, others = held_out(lake, evaluate_params(captions=41), KNOWN)
    real = [draw_small(views[case.row_id]) for case in others]
    grey = [Image.new("RGB", (64, 64), (100 + n, 120, 140)) for n in range(len(real))]
    pictures = {0: real, 1000: grey}
    monkeypatch.setattr(
        distances, "painted_pictures",
        lambda _, ids: iter([pictures[n // 1000 * 1000][n % 1000] for n in ids]),
    )  # fmt: skip
    painted = {"on": rows_of(41), "off": rows_of(41, 1000), "few": rows_of(3)[1::2]}
    found = measure_distances(lake, painted, cases, networks)
    near, far = found["on"]["kid"], found["off"]["kid"]
    fids = [found[name]["fid"].value or math.inf for name in ("on", "off")]
    assert near.value is not None
    assert far.value is not None
    assert far.lo is not None
    assert near.n == far.n == 41, "of two seeds, one picture of each caption"
    assert near.value < far.lo < far.value
    assert fids[0] < fids[1] < math.inf
    assert (found["on"]["fid"].n, found["on"]["fid"].lo) == (41, None)
    assert (found["few"]["kid"].value, found["few"]["fid"].n) == (None, 3)
    silent = measure_distances(lake, painted, cases, Networks(networks.detector, None))
    assert silent["on"]["kid"] == near
    assert silent["on"]["fid"].value is None


def test_what_failed_is_compared_with_nothing(lake, networks):
    fill(lake, sides=2)
    publish(lake, GENERATIONS, [])
    cases, _ = held_out(lake, evaluate_params(captions=2), KNOWN)
    found = measure_distances(lake, {"on": [Painted({}, None)]}, cases, networks)
    assert found["on"]["kid"].value is None
    assert found["on"]["fid"].value is None


def test_true_pictures_are_cropped(lake):
    views = fill(lake, sides=2)
    cases, _ = held_out(lake, evaluate_params(captions=2), KNOWN)
    for case, picture in zip(cases, true_pictures(lake, cases), strict=True):
        expected = np.asarray(draw_small(views[case.row_id]), np.int16)
        assert np.abs(np.asarray(picture, np.int16) - expected).max() <= 1
