"""How strongly a feature that fires does so."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.toy.grid import STEP, to_grid

KINDS = ("constant", "uniform", "folded_normal")
Kind = Literal["constant", "uniform", "folded_normal"]


class Amplitude:
    """Strengths with a mean m_i and a spread σ_i of each feature's own.

        constant:        m_i
        uniform:         U(m_i - √3 σ_i, m_i + √3 σ_i), whose standard deviation is σ_i
        folded_normal:   |N(m_i, σ_i²)|

    m_i runs evenly from `mean[0]` for the first feature to `mean[1]` for the last; σ_i = |N(std, std_spread²)|, drawn
    once. Never below one step of the grid, so that what fires is not zero.
    """

    def __init__(
        self, n: int, *, kind: Kind, mean: tuple[float, float], std: float, std_spread: float, stream: int
    ) -> None:
        checks.one_of("amplitude", kind, KINDS)
        if len(mean) != 2:
            raise ValueError(f"amplitude_mean={list(mean)} must be two numbers: the first feature's and the last's")
        for end in mean:
            checks.above("amplitude_mean", end, 0)
        checks.at_least("amplitude_std", std, 0)
        checks.at_least("amplitude_std_spread", std_spread, 0)
        self.kind = kind
        self.mean = torch.linspace(mean[0], mean[1], n)
        self.std = (rng.normal(rng.bits(stream, torch.arange(n))) * std_spread + std).abs()
        if kind == "constant" and (std or std_spread):
            raise ValueError(
                f"amplitude_std={std}, amplitude_std_spread={std_spread} have no meaning with amplitude=constant; "
                "set them to 0, or amplitude to uniform or folded_normal"
            )
        widest = math.sqrt(3) * self.std / self.mean
        if kind == "uniform" and n and widest.max() > 1:
            raise ValueError(
                f"amplitude=uniform reaches below zero, as sqrt(3) std is {widest.max():.3g} times the mean for some "
                "feature; lower amplitude_std and amplitude_std_spread, or use amplitude=folded_normal"
            )

    def to(self, device: torch.device) -> Amplitude:
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self

    def draw(self, item: Tensor, feature: Tensor) -> Tensor:
        """Strengths `[m]` on the grid, of features `[m]` on rows with random bits `item` `[m]`."""
        mean, std = self.mean[feature], self.std[feature]
        bits = rng.bits(rng.key("amplitude"), item, feature)
        if self.kind == "uniform":
            mean = mean + (rng.uniform(bits) * 2 - 1) * std * math.sqrt(3)
        elif self.kind == "folded_normal":
            mean = (mean + rng.normal(bits) * std).abs()
        return to_grid(mean).clamp_min_(STEP)
