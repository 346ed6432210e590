"""Metrics of a reconstruction and its codes, one definition each; pure functions of sums, so that parts add exactly."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saelab.kernels import Support


class Sums(NamedTuple):
    """What the metrics need of any number of rows; the sums of two parts add to the sums of the whole.

    Values are float64, as a variance is a difference of large numbers.
    """

    rows: Tensor  # []
    error: Tensor  # [] Σ‖y − ŷ‖²
    y: Tensor  # [d] Σ(y − c), for a constant centre c
    y2: Tensor  # [] Σ‖y − c‖²
    l1: Tensor  # [] Σ|f|
    fired: Tensor  # [s] rows in which a latent is non-zero
    activity: Tensor  # [s] Σ f


def sums(
    y: Float[Tensor, "b d"],
    y_hat: Float[Tensor, "b d"],
    f: Float[Tensor, ...],
    centre: Float[Tensor, " d"],
    where: Support | None = None,
) -> Sums:
    """The sums of a batch; `centre` is any constant near the mean of y (it only keeps digits).

    f: codes `[b, s]`; or, with `where`, those `[n]` at these places alone.
    """
    shifted = (y - centre).double()
    if where is None:
        exact = torch.promote_types(f.dtype, torch.float32)  # for a count of up to 2^24 rows
        fired = f.sign().abs_().sum(0, dtype=exact).double()  # a comparison takes several times as long
        activity = f.sum(0, dtype=torch.float64)
        l1 = activity.sum() if f.amin() >= 0 else f.abs().sum(dtype=torch.float64)
    else:
        fired, activity = where.sum_by_latent((f != 0).double()), where.sum_by_latent(f.double())
        l1 = f.abs().sum(dtype=torch.float64)
    return Sums(
        torch.tensor(len(y), dtype=torch.float64, device=y.device),
        _square((y - y_hat).double()),
        shifted.sum(0),
        _square(shifted),
        l1,
        fired,
        activity,
    )


def _square(x: Float[Tensor, "b d"]) -> Tensor:
    """Σ x², without a square of every entry in memory."""
    flat = x.reshape(-1)
    return flat.dot(flat)


def fvu(s: Sums) -> Tensor:
    """Fraction of variance unexplained: Σ‖y − ŷ‖² / Σ‖y − ȳ‖², ȳ the mean over all rows."""
    return s.error / (s.y2 - s.y.square().sum() / s.rows)


def explained_variance(s: Sums) -> Tensor:
    """1 − FVU."""
    return 1 - fvu(s)


def mse(s: Sums) -> Tensor:
    """Mean squared error per element: Σ‖y − ŷ‖² / (rows · d)."""
    return s.error / (s.rows * s.y.numel())


def l0(s: Sums) -> Tensor:
    """Mean number of non-zero codes in a row."""
    return s.fired.sum() / s.rows


def l1(s: Sums) -> Tensor:
    """Mean sum of absolute codes in a row."""
    return s.l1 / s.rows


def density(s: Sums) -> Float[Tensor, " s"]:
    """Firing frequency of each latent."""
    return s.fired / s.rows


def dead(s: Sums) -> Tensor:
    """Fraction of latents that fire in no row."""
    return (s.fired == 0).double().mean()


def recovered(original: float, zero: float, spliced: float) -> float:
    """(m_zero − m_sae) / (m_zero − m_orig) of the base network's loss or accuracy; 1 is as good as the original."""
    if zero == original:
        raise ValueError("Ablating the site changes nothing, so what was recovered is undefined: choose another site.")
    return (zero - spliced) / (zero - original)


def accuracy(logits: Float[Tensor, "b c"], y: Int[Tensor, " b"]) -> Tensor:
    """Fraction of rows whose largest logit is the label's."""
    return (logits.argmax(-1) == y).double().mean()
