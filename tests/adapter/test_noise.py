"""Noise, what is predicted of it, and weights, against diffusers' own."""

import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler
from diffusers.training_utils import compute_snr

from spatialgen.adapter.noise import Noise

KOLORS = {"num_train_timesteps": 1100, "beta_start": 0.00085, "beta_end": 0.014,
          "beta_schedule": "scaled_linear"}  # fmt: skip


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_it_is_mixed_and_weighted_as_diffusers_does(kind: str) -> None:
    scheduler = DDPMScheduler(**KOLORS, prediction_type=kind)
    noise = Noise(scheduler, 5.0)
    latents, drawn = torch.randn(2, 5, 4, 4, 4)
    steps = noise.steps(torch.tensor([0.0, 0.1, 0.5, 0.9, 0.9999]))
    assert steps.tolist() == [0, 110, 550, 990, 1099]
    noisy, wanted = noise.mix(latents, drawn, steps)
    assert torch.allclose(noisy, scheduler.add_noise(latents, drawn, steps), atol=1e-5)
    velocity = scheduler.get_velocity(latents, drawn, steps)
    right = {"epsilon": drawn, "v_prediction": velocity, "sample": latents}[kind]
    assert torch.allclose(wanted, right, atol=1e-5)
    ratio = compute_snr(scheduler, steps)
    limited = ratio.clamp(max=5.0)
    weights = {"epsilon": limited / ratio, "v_prediction": limited / (ratio + 1), "sample": limited}
    assert torch.allclose(noise.weights(steps), weights[kind], rtol=1e-4)


def test_without_a_limit_all_timesteps_weigh_the_same() -> None:
    noise = Noise(EulerDiscreteScheduler(**KOLORS))
    assert noise.weights(torch.tensor([0, 1099])).tolist() == [1.0, 1.0]
