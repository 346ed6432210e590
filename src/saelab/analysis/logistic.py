"""Many logistic regressions at once, by Newton's method."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ABSENT = -1e4  # the logit of a class without rows: probability 0, and still finite
STEPS, HALVINGS = 100, 30
TOLERANCE, ROUNDING = 1e-9, 1e-13  # of the loss


def logistic_regressions(
    x: Float[Tensor, "g m k"], t: Float[Tensor, "g m c"], *, c: float = 1.0
) -> Float[Tensor, "g k1 c"]:
    """The g minimisers W [k + 1, c], the intercepts b last, of Σ_m Σ_j t_mj (-ln softmax(x_m W + b)_j) + λ ||W||² / 2.

    t_mj: how many rows with features x_m have class j, so equal rows may share an entry, and 0 leaves one out.
    λ = 1/c, doubled for two classes, whose weights share what the one of a binary regression has: scikit-learn's
    LogisticRegression(C=c). Intercepts sum to 0; a class that a problem has no rows of never gets any probability.
    Newton steps with step halving, in float64. Errors: ValueError for a problem without rows.
    """
    x, t = x.double(), t.double()
    count, n = t.sum(1), t.sum((1, 2))
    if (n == 0).any():
        raise ValueError(f"regressions {(n == 0).nonzero()[:, 0].tolist()} have no rows")
    present = count > 0
    z = torch.cat([x, x.new_ones(*x.shape[:2], 1)], dim=2)
    penalty = torch.full((z.shape[2], 1), (2 if t.shape[2] == 2 else 1) / c, dtype=x.dtype, device=x.device)
    penalty[-1] = 0
    W = x.new_zeros(len(x), z.shape[2], t.shape[2])
    W[:, -1] = torch.where(present, count.clamp(min=1).log(), 0.0)
    W[:, -1] -= torch.where(present, W[:, -1].sum(1, keepdim=True) / present.sum(1, keepdim=True), 0.0)

    loss = losses(W, z, t, penalty, present)
    for _ in range(STEPS):
        step, gain = newton(W, z, t, penalty, present)
        W, loss = halved(W, step, loss, z, t, penalty, present)
        if (gain <= TOLERANCE * loss).all():  # and this step has squared what was missing
            break
    return W


def halved(
    W: Float[Tensor, "g k1 c"],
    step: Float[Tensor, "g k1 c"],
    loss: Float[Tensor, " g"],
    z: Float[Tensor, "g m k1"],
    t: Float[Tensor, "g m c"],
    penalty: Float[Tensor, "k1 1"],
    present: Bool[Tensor, "g c"],
) -> tuple[Float[Tensor, "g k1 c"], Float[Tensor, " g"]]:
    """Each problem after its step, halved until its loss does not rise, and the losses."""
    size = torch.ones_like(loss)
    for _ in range(HALVINGS):
        trial = W - size[:, None, None] * step
        after = losses(trial, z, t, penalty, present)
        worse = after > loss * (1 + ROUNDING)
        if not worse.any():
            return trial, after
        size = torch.where(worse, size / 2, size)
    size = size.where(size > 0.5**HALVINGS, 0.0)  # the rest stay
    trial = W - size[:, None, None] * step
    return trial, losses(trial, z, t, penalty, present)


def log_probabilities(
    W: Float[Tensor, "g k1 c"], z: Float[Tensor, "g m k1"], present: Bool[Tensor, "g c"]
) -> Float[Tensor, "g m c"]:
    return (z @ W).masked_fill(~present[:, None], ABSENT).log_softmax(-1)


def losses(
    W: Float[Tensor, "g k1 c"],
    z: Float[Tensor, "g m k1"],
    t: Float[Tensor, "g m c"],
    penalty: Float[Tensor, "k1 1"],
    present: Bool[Tensor, "g c"],
) -> Float[Tensor, " g"]:
    return (penalty * W.square()).sum((1, 2)) / 2 - (t * log_probabilities(W, z, present)).sum((1, 2))


def newton(
    W: Float[Tensor, "g k1 c"],
    z: Float[Tensor, "g m k1"],
    t: Float[Tensor, "g m c"],
    penalty: Float[Tensor, "k1 1"],
    present: Bool[Tensor, "g c"],
) -> tuple[Float[Tensor, "g k1 c"], Float[Tensor, " g"]]:
    """The Newton step H⁻¹ ∇, and what the loss falls by: ∇ · H⁻¹ ∇, twice that of its quadratic model."""
    _, k1, c = W.shape
    p, n = log_probabilities(W, z, present).exp(), t.sum(2, keepdim=True)
    gradient = z.mT @ (n * p - t) + penalty * W
    # H[(a, i), (b, j)] = Σ_m n z_a z_b p_i (δ_ij - p_j) + λ_a δ_ab δ_ij
    outer = (z[..., :, None] * z[..., None, :]).flatten(2).mT @ (n * p)
    jacobian = (z[..., :, None] * p[..., None, :] * n[..., None].sqrt()).flatten(2)
    hessian = -(jacobian.mT @ jacobian).unflatten(2, (k1, c)).unflatten(1, (k1, c))
    hessian.diagonal(dim1=2, dim2=4).add_(outer.unflatten(1, (k1, k1)))
    together = present[:, :, None] & present[:, None]  # all intercepts may shift by as much: hold them
    hessian[:, -1, :, -1] += n.sum(1)[:, :, None] / c * together
    hessian = hessian.flatten(3).flatten(1, 2)
    hessian.diagonal(dim1=1, dim2=2).add_((penalty + ~present[:, None]).flatten(1))
    step = torch.linalg.solve(hessian, gradient.flatten(1)[..., None]).reshape(W.shape)
    return step, (gradient * step).sum((1, 2))
