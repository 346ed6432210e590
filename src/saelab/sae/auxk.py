"""AuxK: dead latents learn from what the living ones miss."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.step import squared_error


def auxk_loss(
    residual: Float[Tensor, "b o"],
    pre: Float[Tensor, "b dead"],
    W_dec: Float[Tensor, "dead o"],
    k: int,
    *,
    signed: bool = False,
) -> Tensor:
    """Σ_d (e − ê)², mean over rows: e the residual, ê its reconstruction by each row's k largest dead pre-activations.

    e is detached, so the living latents are not asked to leave work over; pre-activations are not, so the encoder of a
    dead latent learns (without which it could never fire again); the decoder bias is no part of a residual. With fewer
    dead latents than k the term is scaled by dead/k, and it is zero without any. `pre` and `W_dec` are those of the
    dead latents alone. (Gao et al. 2024, arXiv 2406.04093, §A.2.) Where codes are `signed`, the k are those of largest
    magnitude, with their signs.
    """
    n = len(W_dec)
    if n == 0:
        return residual.new_zeros(())
    which = (pre.abs() if signed else pre).topk(min(k, n), dim=1).indices
    values = pre.gather(1, which)
    f = torch.zeros_like(pre).scatter(1, which, values if signed else values.relu())
    return min(1.0, n / k) * squared_error(f @ W_dec, residual.detach())
