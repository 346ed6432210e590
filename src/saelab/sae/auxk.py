"""AuxK: dead latents learn from what the living ones miss."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def auxk_loss(
    residual: Float[Tensor, "b o"],
    pre: Float[Tensor, "b s"],
    W_dec: Float[Tensor, "s o"],
    dead: Bool[Tensor, " s"],
    k: int,
) -> Tensor:
    """Σ_d (e − ê)², mean over rows: e the residual, ê its reconstruction by each row's k largest dead pre-activations.

    e is detached, so the living latents are not asked to leave work over; pre-activations are not, so the encoder of a
    dead latent learns (without which it could never fire again); the decoder bias is no part of a residual. With fewer
    dead latents than k the term is scaled by dead/k, and it is zero without any. No dead latent is read twice: only
    their columns are selected. (Gao et al. 2024, arXiv 2406.04093, §A.2.)
    """
    rows = dead.nonzero().squeeze(1)
    n = len(rows)
    if n == 0:
        return residual.new_zeros(())
    values, which = pre[:, rows].topk(min(k, n), dim=1)
    f = pre.new_zeros(len(pre), n).scatter(1, which, values.relu())
    error = residual.detach() - f @ W_dec[rows]
    return min(1.0, n / k) * error.square().sum(-1).mean()
