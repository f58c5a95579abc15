"""FID's formula on distributions whose distance is known, and the networks that it takes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from spatialgen.errors import InputError
from spatialgen.fid import Inception, frechet
from spatialgen.inception import InceptionV3


class Means(nn.Module):
    """Features of a random projection of the pixels' means."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 8, stride=8)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.layer(pixels / 255).mean((2, 3))
        return features


class Told(Means):
    """One that gives classes unless it is told otherwise."""

    def forward(self, pixels: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        features: torch.Tensor = self.layer(pixels / 255).mean((2, 3))
        return features if return_features else features[:, :1]


def pictures(seed: int, n: int = 6, size: tuple[int, int] = (16, 24)) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)) for _ in range(n)]


def scripted(folder: Path, network: nn.Module) -> Path:
    file = folder / "network.pt"
    torch.jit.script(network).save(str(file))
    return file


def test_normal_distributions_are_as_far_apart_as_the_formula_says():
    rng = np.random.default_rng(0)
    a, b = np.array([1.0, 2.0, 0.5]), np.array([2.0, 1.0, 0.5])  # deviations
    one = rng.normal(0, a, (20000, 3))
    other = rng.normal([1, 0, 2], b, (30000, 3))
    expected = 1 + 4 + ((a - b) ** 2).sum()
    assert frechet(one, other) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("n", [5, 40])
def test_it_is_the_published_formula_however_few_the_pictures(n):
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 1, (n, 8)), rng.normal(0.3, 2, (n + 2, 8))
    s1, s2 = np.cov(one.T), np.cov(other.T)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(s1 @ s2).real, 0)).sum()
    apart = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected = apart + np.trace(s1) + np.trace(s2) - 2 * roots
    assert frechet(one, other) == pytest.approx(expected, rel=1e-5)
    assert frechet(other, one) == pytest.approx(frechet(one, other))
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_one_picture_has_no_distribution():
    with pytest.raises(ValueError, match="give two at least"):
        frechet(np.zeros((1, 3)), np.zeros((5, 3)))


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_torchscript_network_gives_features(tmp_path):
    torch.manual_seed(0)
    network = Told()
    features = Inception.load(scripted(tmp_path, network))
    shown = pictures(0)
    pixels = torch.from_numpy(np.stack([np.asarray(each) for each in shown])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(pixels.float(), True).numpy()
    np.testing.assert_allclose(features(shown), expected, rtol=1e-5)
    mixed = features([*shown, *pictures(1, 2, (32, 8))])
    np.testing.assert_allclose(mixed[:6], expected, rtol=1e-5)
    plain = Inception.load(scripted(tmp_path, Means()))
    assert plain(shown).shape == (6, 4)
    assert frechet(plain(shown), plain(pictures(5))) > 0


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_the_published_port_load(tmp_path, suffix):
    torch.manual_seed(0)
    state = InceptionV3().state_dict()
    state |= {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    file = tmp_path / f"weights{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    features = Inception.load(tmp_path)(pictures(0, 2))
    assert features.shape == (2, 2048)
    assert np.isfinite(features).all()


def test_what_is_no_network_is_said(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"no weights")
    for path in (tmp_path, tmp_path / "a.pth", tmp_path / "none.pth"):
        with pytest.raises(InputError, match=r"evaluate\.inception = .* holds no Inception"):
            Inception.load(path)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "b.pth")
    with pytest.raises(InputError, match="holds no Inception"):
        Inception.load(tmp_path / "b.pth")
    with pytest.raises(InputError, match="holds 2 files"):
        Inception.load(tmp_path)
