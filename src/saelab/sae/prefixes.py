"""Nested dictionaries: an SAE whose first latents must reconstruct alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support, decode
from saelab.sae.base import SAE
from saelab.sae.likelihood import Likelihood
from saelab.sae.step import Step

Weights = Literal["sum", "mean"]
FRACTIONS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
PARETO = 0.5


class Prefixes:
    """Σ_l w ‖y − y_hat_l‖², y_hat_l the reconstruction by the first n_l latents; for any SAE and any activation.

    n_1 < ... < n_L = d_sae are `levels`, or are drawn for each batch: L − 1 widths from the Pareto distribution of
    exponent 1/2 cut off at d_sae, so that half of the draws are below four latents, and the whole (Nabeshima 2024).
    w is 1 for `sum` and 1/L for `mean`. Each error is a sum over d, a mean over rows.

    One pass over the dictionary, not one a level: y_hat_l is y_hat_{l−1} plus the contribution of the latents between
    them, and the last is the reconstruction.

    Args:
        d_sae: width of the dictionary.
        levels: widths n_l, the last d_sae; or fractions of d_sae, the last 1. Fractions are rounded, to at least one
            latent, and those that round to the same width are one level.
        random: L, if prefixes are drawn; 0 for fixed levels.
        weights: `sum` or `mean`.
    """

    def __init__(self, *, d_sae: int, levels: Sequence[float], random: int, weights: Weights) -> None:
        if weights not in ("sum", "mean"):
            raise ValueError(f"level_weights={weights!r} is unknown: sum or mean.")
        if random < 0:
            raise ValueError(f"random_levels={random} must not be negative; 0 keeps the fixed levels.")
        self.d_sae, self.random, self.weights = d_sae, random, weights
        self.fixed = fixed_widths(levels, d_sae)

    def widths(self) -> list[int]:
        """n_1 < ... < n_L = d_sae, for one batch."""
        if not self.random:
            return self.fixed
        share = torch.rand(self.random - 1) * (1 - self.d_sae**-PARETO)
        drawn = (1 - share).pow(-1 / PARETO).long().clamp(max=self.d_sae)
        return sorted({*drawn.tolist(), self.d_sae})

    def levels(
        self, sae: SAE, f: Float[Tensor, ...], x: Float[Tensor, "b i"], where: Support | None
    ) -> Iterator[Float[Tensor, "b o"]]:
        """y_hat_1, ..., y_hat_L."""
        ends = self.widths()
        groups = [end - start for start, end in pairwise([0, *ends])]
        y_hat = sae.b_dec if sae.W_skip is None else sae.b_dec + x @ sae.W_skip
        for codes, W, part in split(f, sae.W_dec, groups, where):
            y_hat = torch.addmm(y_hat, codes, W) if part is None else y_hat + decode(codes, W, part)
            yield y_hat

    def error(self, s: Step, likelihood: Likelihood) -> Float[Tensor, ""]:
        """The weighted sum over the levels."""
        total = torch.stack(list(s.errors) or [likelihood.error(y_hat, s.y) for y_hat in s.levels]).sum()
        return total / len(s.levels) if self.weights == "mean" else total


def split(
    f: Float[Tensor, ...], W_dec: Float[Tensor, "s o"], groups: list[int], where: Support | None
) -> Iterator[tuple[Float[Tensor, ...], Float[Tensor, "g o"], Support | None]]:
    """Codes, decoder rows and places of each group of neighbouring latents."""
    rows = W_dec.split(groups)
    if where is None:
        yield from ((codes, W, None) for codes, W in zip(f.split(groups, 1), rows, strict=True))
    else:
        yield from ((f[places], W, part) for (places, part), W in zip(where.split(groups), rows, strict=True))


def fixed_widths(levels: Sequence[float], d_sae: int) -> list[int]:
    """Widths from widths, or from fractions."""
    said = f"levels={[*levels]}"
    if not levels or any(b <= a for a, b in pairwise([0, *levels])):
        raise ValueError(f"{said} must be positive and ascending: each is the width of a prefix, not of a group.")
    if levels[-1] == 1:
        return sorted({max(1, round(level * d_sae)) for level in levels})
    if levels[-1] != d_sae or any(level != int(level) for level in levels):
        raise ValueError(f"{said} must be whole and end in d_sae={d_sae}; or be fractions that end in 1.")
    return [int(level) for level in levels]
