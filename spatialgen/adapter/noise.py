"""What a diffusion model learns to tell of noisy latents, and how much each timestep weighs."""

from typing import Any

import torch
from torch import Tensor


class Noise:
    """The noise of a scheduler: how it is mixed in, what is predicted of it, what errors weigh."""

    def __init__(self, scheduler: Any, gamma: float | None = None) -> None:
        """`scheduler`: any of diffusers with alphas_cumprod; `gamma`: the limit of min-SNR weights
        (Hang et al., arXiv:2303.09556), None: all weigh 1."""
        self.signal: Tensor = scheduler.alphas_cumprod.float()
        self.kind: str = scheduler.config.prediction_type
        self.gamma = gamma

    def steps(self, times: Tensor) -> Tensor:
        """Timesteps of times in [0, 1)."""
        return (times * len(self.signal)).long()

    def mix(self, latents: Tensor, noise: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy latents at [n] timesteps, and what is to be predicted of them: the noise, or v
        (Salimans and Ho, arXiv:2202.00512), or the latents."""
        signal = self._signal(steps).view(-1, 1, 1, 1)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        if self.kind == "epsilon":
            return noisy, noise
        if self.kind == "v_prediction":
            return noisy, signal.sqrt() * noise - (1 - signal).sqrt() * latents
        return noisy, latents

    def weights(self, steps: Tensor) -> Tensor:
        """[n] weights of squared errors at timesteps."""
        signal = self._signal(steps)
        if self.gamma is None:
            return torch.ones_like(signal)
        ratio = signal / (1 - signal).clamp(min=1e-8)
        limited = ratio.clamp(max=self.gamma)
        if self.kind == "epsilon":
            return limited / ratio.clamp(min=1e-8)
        return limited / (ratio + 1) if self.kind == "v_prediction" else limited

    def _signal(self, steps: Tensor) -> Tensor:
        return self.signal.to(steps.device)[steps]
