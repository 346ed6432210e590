"""Which latents follow a continuous factor: R² of a straight line, and mutual information for any other shape."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saelab.analysis.midranks import order


def latent_r2(
    codes: Float[Tensor, "n s"], factors: Float[Tensor, "n f"], *, train: Bool[Tensor, " n"]
) -> tuple[Float[Tensor, "s f"], Float[Tensor, "s f"]]:
    """R² = 1 - SSE / SST of each factor from each latent by a line fitted on `train`: there, and on the other rows.

    On the held-out rows it may be negative. nan for a latent that does not vary on `train`, and a factor that does not
    vary where it is tested. An angle is not a line: give its sine and cosine.
    """
    x, y = codes.double(), factors.double()
    xm, ym = x[train].mean(0), y[train].mean(0)
    x, y = x - xm, y - ym
    varies = (codes[train] != codes[train][:1]).any(0)
    slope = x[train].T @ y[train] / x[train].square().sum(0)[:, None].where(varies[:, None], torch.nan)
    return _r2(x[train], y[train], slope), _r2(x[~train], y[~train], slope)


def _r2(x: Float[Tensor, "n s"], y: Float[Tensor, "n f"], slope: Float[Tensor, "s f"]) -> Float[Tensor, "s f"]:
    """Of ŷ = slope x: SSE = Σy² - 2 slope Σxy + slope² Σx², SST about the mean of these rows."""
    sse = y.square().sum(0) - 2 * slope * (x.T @ y) + slope.square() * x.square().sum(0)[:, None]
    sst = (y - y.mean(0)).square().sum(0)
    varies = (y != y[:1]).any(0)
    return torch.where(varies, 1 - sse / sst, torch.nan)


def mutual_information(
    codes: Float[Tensor, "n s"], factors: Float[Tensor, "n f"], *, bins: int = 16, correct: bool = True
) -> Float[Tensor, "s f"]:
    """Σ p(a, b) ln(p(a, b) / (p(a) p(b))) in nats, of latent bins a and factor bins b.

    A latent's zeros are a bin of their own, its other values `bins` of equal counts; a factor has `bins` of equal
    counts; equal values share a bin. `correct` adds (K_a + K_b - K_ab - 1) / 2n, K the occupied bins (Miller 1955),
    which makes it about 0 where there is none, slightly negative as often, if rows are many times the bins squared.
    A latent that never fires has 0.
    """
    if factors.isnan().any():
        raise ValueError("a factor is nan: leave out the rows that do not have it")
    n, s = codes.shape
    o, b = order(codes), quantile_bins(factors, bins)
    a = value_bins(o.latent, o.run, s, bins)
    found = []
    for j in range(factors.shape[1]):
        cell = (o.latent * bins + a) * bins + b[o.row, j]
        joint = torch.bincount(cell, minlength=s * bins * bins).reshape(s, bins, bins).double()
        zero = torch.bincount(b[:, j], minlength=bins) - joint.sum(1)
        joint = torch.cat([joint, zero[:, None]], dim=1)
        marginals = joint.sum(2), joint.sum(1)
        entropy = [torch.special.entr(m.flatten(1) / n).sum(1) for m in (*marginals, joint)]
        occupied = [(m.flatten(1) > 0).sum(1) for m in (*marginals, joint)]
        bias = (occupied[0] + occupied[1] - occupied[2] - 1) / (2 * n) if correct else 0.0
        found.append(entropy[0] + entropy[1] - entropy[2] + bias)
    return torch.stack(found, dim=1)


def quantile_bins(value: Float[Tensor, "n f"], bins: int) -> Int[Tensor, "n f"]:
    """floor(bins · rows below / n): equal counts, but equal values together."""
    columns = value.T.contiguous()
    below = torch.searchsorted(columns.sort(dim=1).values, columns)
    return (below * bins // len(value)).T


def value_bins(latent: Int[Tensor, " m"], run: Int[Tensor, " m"], s: int, bins: int) -> Int[Tensor, " m"]:
    """The same of each latent's non-zero values, sorted and with equal ones in runs."""
    count = torch.bincount(latent, minlength=s)
    first = torch.searchsorted(run, torch.arange(int(run.max()) + 1 if len(run) else 0, device=run.device))
    below = first[run] - (count.cumsum(0) - count)[latent]
    return below * bins // count[latent]


class BestFactor(NamedTuple):
    """Of each factor: the latent that follows it best on the training rows, -1 if none lives, and its scores."""

    latent: Int[Tensor, " f"]
    train: Float[Tensor, " f"]
    test: Float[Tensor, " f"]


def best_for_factors(
    train: Float[Tensor, "s f"], test: Float[Tensor, "s f"], *, alive: Bool[Tensor, " s"]
) -> BestFactor:
    """Chosen by `train`, scored by `test`: both of R², or of mutual information on either half of the rows."""
    value, latent = train.masked_fill(~alive[:, None] | train.isnan(), -torch.inf).max(0)
    found = value > -torch.inf
    held_out = test.gather(0, latent[None])[0]
    return BestFactor(
        torch.where(found, latent, -1), torch.where(found, value, torch.nan), torch.where(found, held_out, torch.nan)
    )
