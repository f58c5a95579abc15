"""Fréchet inception distance, between the normal distributions of two sets of features.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", arXiv:1706.08500. It falls with the
number of pictures, so it is to be read with its n; see kid.py for one that does not.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from spatialgen.errors import InputError
from spatialgen.inception import InceptionV3

Features = NDArray[np.float64]  # [n, d]
FILES = ("*.pth", "*.pt", "*.safetensors")  # that a folder of weights may hold
BATCH = 32


def frechet(one: Features, other: Features) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of means m and covariances S of [n, d] features.

    tr (S1 S2)^(1/2) is the sum of the singular values of X1 X2^T, X being features less their mean
    over the root of n - 1: S = X^T X, so that nothing is squared and few pictures need no mending.
    """
    if min(len(one), len(other)) < 2:
        raise ValueError(f"features of {len(one)} and {len(other)} pictures; give two at least")
    spread = [(each - each.mean(0)) / np.sqrt(len(each) - 1) for each in (one, other)]
    # The triangle of a QR decomposition has the same X^T X, and fewer rows where there are many.
    a, b = (np.asarray(np.linalg.qr(each, mode="r"), np.float64) for each in spread)
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    apart = float(((one.mean(0) - other.mean(0)) ** 2).sum())
    return apart + float(sum((each**2).sum() for each in spread)) - 2 * float(common)


class Inception:
    """Pictures -> the features that FID is about."""

    def __init__(self, network: nn.Module, device: str) -> None:
        self.network, self.device = network.to(device).eval(), device

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Inception":
        """From a file, or the only one in a folder: pytorch-fid's state dict
        (pt_inception-2015-12-05, also as .safetensors), or a TorchScript module that takes pixels
        in 0..255 (as StyleGAN's inception-2015-12-05.pt). InputError where it is neither."""
        file = _only_file(Path(path).expanduser())
        try:
            network = _load_script(file) or _load_weights(file)
        except Exception as error:  # of Torch, pickle and safetensors
            raise InputError(
                f"evaluate.inception = {path} holds no Inception weights "
                f"({' '.join(str(error).split())[:200]}); give pytorch-fid's "
                "pt_inception-2015-12-05 file, a TorchScript file, or null"
            ) from None
        return cls(network, device)

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Image.Image]) -> Features:
        """[n, d]."""
        rows = [self._some(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
        features: Features = torch.cat(rows).double().cpu().numpy()
        return features

    def _some(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures of several sizes go one by one."""
        if len({picture.size for picture in pictures}) > 1:
            return torch.cat([self._some([picture]) for picture in pictures])
        pixels = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
        found: Tensor = self.network(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device))
        return found.flatten(1)


class _Scripted(nn.Module):
    """A TorchScript module, asked for features where it must be told."""

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.script = script
        taken = [each.name for each in script.forward.schema.arguments]
        self.options = {"return_features": True} if "return_features" in taken else {}

    def forward(self, pixels: Tensor) -> Any:
        return self.script(pixels.float(), **self.options)


class _Resized(nn.Module):
    """pytorch-fid's way into its network: bilinear to 299 x 299, then to [-1, 1]."""

    def __init__(self, network: InceptionV3) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        size = (InceptionV3.SIDE, InceptionV3.SIDE)
        scaled = F.interpolate(pixels.float() / 255, size, mode="bilinear", align_corners=False)
        return self.network(2 * scaled - 1)


def _only_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(file for pattern in FILES for file in path.glob(pattern))
    if len(files) != 1:
        raise InputError(
            f"evaluate.inception = {path} holds {len(files)} files of weights; name the one"
        )
    return files[0]


def _load_script(file: Path) -> nn.Module | None:
    """None where it is no TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # nothing else reads them
        try:
            return _Scripted(torch.jit.load(str(file), "cpu"))  # type: ignore[no-untyped-call]
        except RuntimeError:
            return None


def _load_weights(file: Path) -> nn.Module:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(file)
    else:
        state = torch.load(file, map_location="cpu", weights_only=True)
    network = InceptionV3()
    network.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")})
    return _Resized(network)
