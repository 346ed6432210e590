"""AuxK: dead latents learn from what the living ones miss."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.likelihood import Likelihood


def auxk_loss(
    likelihood: Likelihood,
    y_hat: Float[Tensor, "b o"],
    y: Float[Tensor, "b o"],
    pre: Float[Tensor, "b dead"],
    W_dec: Float[Tensor, "dead o"],
    k: int,
    *,
    signed: bool = False,
) -> Tensor:
    """error(y_hat + ê, y), ê = f W_dec of each row's k largest dead pre-activations; mean over rows.

    For squares this is Σ_d (e − ê)², e = y − y_hat the residual (Gao et al. 2024, arXiv 2406.04093, §A.2). Of logits it
    is the cross-entropy of y_hat + ê, so that dead codes grow to the size of logits: held against y − σ(y_hat), whose
    entries are below one, they would stay too small to be among a row's largest ever again.

    y_hat is detached, so the living latents are not asked to leave work over; pre-activations are not, so the encoder
    of a dead latent learns (without which it could never fire again); the decoder bias is no part of ê. With fewer dead
    latents than k the term is scaled by dead/k, and it is zero without any. `pre` and `W_dec` are those of the dead
    latents alone. Where codes are `signed`, the k are those of largest magnitude, with their signs.
    """
    n = len(W_dec)
    if n == 0:
        return y.new_zeros(())
    which = (pre.abs() if signed else pre).topk(min(k, n), dim=1).indices
    values = pre.gather(1, which)
    f = torch.zeros_like(pre).scatter(1, which, values if signed else values.relu())
    return min(1.0, n / k) * likelihood.error_beside(y_hat.detach(), f @ W_dec, y)
