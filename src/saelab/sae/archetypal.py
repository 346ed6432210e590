"""Archetypal dictionaries: atoms that are mixtures of data points."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.sae.init import START_ROWS, unit_rows, upper_quantile

KMEANS_STEPS = 10


class Archetypes(nn.Module):
    """W_dec = normalise(A C + Λ), rows; A row-stochastic, ‖Λ_i‖ <= delta (Fel et al. 2025, arXiv 2502.12892).

    C `[points, d]` are k-means centroids of normalised targets less b_dec, E‖c‖² = 1, and stay; A `[d_sae, points]` and
    Λ `[d_sae, d]` are trained. Atoms lie in the cone over the data's convex hull, or within delta of it, so that they
    do not point where there is no data, and differ less from seed to seed. In the quickstart, matched one to one, atoms
    of two seeds have a mean |cos| of 0.84, 0.79, 0.53 at delta 0, 0.1, 1, and 0.42 in plain TopK; EV is then 0.965,
    0.976, 0.981 and 0.981. `project_`, after each optimiser step, puts the rows of A back onto the simplex (the nearest
    point, which keeps most entries zero) and those of Λ into the ball.

    It is a decoder for any variant: `decoder=archetypal`. Where overcomplete leaves rows their length times a learned
    factor, these have norm one, and where it rescales the positive part of A, this projects.

    Args:
        d_sae, d: shape of the dictionary.
        points: number of centroids; more than there are rows is no use.
        delta: how far an atom may leave the hull, before it is normalised; 0 is a pure archetypal dictionary.
    """

    C: Tensor

    def __init__(self, d_sae: int, d: int, *, points: int, delta: float) -> None:
        super().__init__()
        if points < 2:
            raise ValueError(f"points={points} must be at least 2.")
        if delta < 0:
            raise ValueError(f"delta={delta} must not be negative; 0 keeps atoms in the hull.")
        self.delta = delta
        self.register_buffer("C", unit_rows(points, d))
        share = 0.5 + torch.rand(d_sae, 1) / 2
        corners = torch.rand(d_sae, points).topk(2).indices  # atoms start on edges between two points, no two alike
        self.A = nn.Parameter(torch.zeros(d_sae, points).scatter(1, corners, torch.cat([share, 1 - share], 1)))
        self.shift = nn.Parameter(torch.zeros(d_sae, d))

    def forward(self) -> Float[Tensor, "s d"]:
        return nn.functional.normalize(torch.addmm(self.shift, self.A, self.C), dim=1)

    @torch.no_grad()
    def project_(self) -> None:
        """Rows of A to the nearest point of the simplex, rows of Λ to the nearest within `delta`."""
        self.A.copy_(simplex(self.A.float()))
        self.shift.mul_((self.delta / self.shift.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1))

    @torch.no_grad()
    def fit_(self, y: Float[Tensor, "n d"]) -> None:
        """Place the points: k-means from evenly spaced rows, without chance, so that all processes agree."""
        C = y[torch.linspace(0, len(y) - 1, len(self.C), device=y.device).long()]
        for _ in range(KMEANS_STEPS):
            nearest = torch.addmm(-C.square().sum(1) / 2, y, C.T).argmax(1)
            member = nn.functional.one_hot(nearest, len(C)).to(y.dtype)
            size = member.sum(0)[:, None]
            C = torch.where(size > 0, member.T @ y / size.clamp_min(1), C)
        self.C.copy_(C / C.square().sum(1).mean().sqrt().clamp_min(1e-12))


def matched_encoder(W_dec: Float[Tensor, "s d"], y: Float[Tensor, "n d"], share: float) -> Float[Tensor, "d s"]:
    """W_decᵀ times the factor with which ReLU codes of centred rows reconstruct best, each latent firing on `share`.

    Mixtures of data are alike, and their codes add up to many times a row (7 times in the quickstart). In training
    biases then sink at once and stay down: TopK's L0 ends at 16 of k = 32, EV at 0.950 instead of 0.975.
    """
    y = y[:START_ROWS]
    pre = y @ W_dec.T
    y_hat = (pre - upper_quantile(pre, share) if share else pre).relu() @ W_dec
    return W_dec.T * ((y * y_hat).sum() / y_hat.square().sum().clamp_min(1e-12))


def simplex(rows: Float[Tensor, "s n"]) -> Float[Tensor, "s n"]:
    """The nearest point of {a >= 0, Σ a = 1} to each row: ReLU(a − τ), with τ from the sorted row."""
    down = rows.sort(dim=1, descending=True).values
    count = torch.arange(1, rows.shape[1] + 1, device=rows.device, dtype=rows.dtype)
    tau = (down.cumsum(1) - 1) / count
    last = (down > tau).sum(1, keepdim=True) - 1
    return (rows - tau.gather(1, last)).relu()
