"""The mean magnitude spectrum of pictures, and pictures with that spectrum and random phases."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def mean_magnitude(pictures: Tensor, side: int) -> Tensor:
    """M = mean |rfft2| of pictures `[n, h, h]` padded with zeros to `side`: `[side, side // 2 + 1]`, at least 1e-8."""
    if side < pictures.shape[-1] or (side - pictures.shape[-1]) % 2:
        raise ValueError(f"side={side} must be {pictures.shape[-1]} plus an even number, for equal margins")
    margin = (side - pictures.shape[-1]) // 2
    total = torch.zeros(side, side // 2 + 1)
    for chunk in pictures.split(256):
        total += torch.fft.rfft2(pad(chunk, (margin,) * 4)).abs().sum(0)
    return (total / len(pictures)).clamp_min(1e-8)


def boost_low(magnitude: Tensor, exponent: float) -> Tensor:
    """M w with w = (r / max r + 1 / side)^-exponent, r the distance to frequency zero; the mean of M is kept."""
    if magnitude.dim() != 2:
        raise ValueError(f"magnitude of shape {tuple(magnitude.shape)} must be [side, side // 2 + 1]")
    side = magnitude.shape[0]
    r = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None, :])
    boosted = magnitude * (r / r.max() + 1 / side) ** -exponent
    return boosted * (magnitude.mean() / boosted.mean())


def random_phase(magnitude: Tensor, white: Tensor) -> Tensor:
    """Pictures in [0, 1] with spectrum `magnitude` and the phases of the white noise `[n, side, side]`.

    x = irfft2(M U / |U|), U = rfft2(white); then standardised, and clip(0.5 + 0.2 x, 0, 1).
    """
    u = torch.fft.rfft2(white)
    x = torch.fft.irfft2(magnitude * (u / (u.abs() + 1e-8)), s=white.shape[-2:])
    x = x - x.mean((-2, -1), keepdim=True)
    x = x / (x.std((-2, -1), correction=0, keepdim=True) + 1e-6)
    return x.mul_(0.2).add_(0.5).clamp_(0.0, 1.0)
