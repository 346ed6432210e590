"""Ghost gradients: dead latents learn from the residual through an exponential."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def ghost_loss(
    residual: Float[Tensor, "b o"], pre: Float[Tensor, "b s"], W_dec: Float[Tensor, "s o"], dead: Bool[Tensor, " s"]
) -> Tensor:
    """Σ_d of the rescaled squared error of the ghosts, mean over rows (Jermyn & Templeton, Anthropic, January 2024).

        g = exp(pre_dead) W_dec,dead,   ĝ = g sg(‖r‖ / (2‖g‖ + 1e-6)),   r = residual, detached
        e = (ĝ − r)² / ‖r‖,             loss = Σ_d e sg(r² / (e + 1e-6))

    The last factor, elementwise, makes the term as large as the reconstruction's own error, so it carries gradients
    only. It is zero without dead latents. Where libraries average over d, this sums.
    """
    rows = dead.nonzero().squeeze(1)
    if not len(rows):
        return residual.new_zeros(())
    r = residual.detach()
    g = pre[:, rows].exp() @ W_dec[rows]
    length = r.norm(dim=-1, keepdim=True)
    g = g * (length / (2 * g.norm(dim=-1, keepdim=True) + 1e-6)).detach()
    e = (g - r).square() / length.clamp_min(1e-12)
    return (e * (r.square() / (e + 1e-6)).detach()).sum(-1).mean()
