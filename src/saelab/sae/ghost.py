"""Ghost gradients: dead latents learn from the residual through an exponential."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def ghost_loss(residual: Float[Tensor, "b o"], pre: Float[Tensor, "b dead"], W_dec: Float[Tensor, "dead o"]) -> Tensor:
    """Σ_d of the rescaled squared error of the ghosts, mean over rows (Jermyn & Templeton, Anthropic, January 2024).

        g = exp(pre_dead) W_dec,dead,   ĝ = g sg(‖r‖ / (2‖g‖ + 1e-6)),   r = residual, detached
        e = (ĝ − r)² / ‖r‖,             loss = Σ_d e sg(r² / (e + 1e-6))

    The last factor, elementwise, makes the term as large as the reconstruction's own error, so it carries gradients
    only. `pre` and `W_dec` are those of the dead latents; without any it is zero. Where libraries average over d, this
    sums.
    """
    if not len(W_dec):
        return residual.new_zeros(())
    r = residual.detach()
    g = pre.exp() @ W_dec
    length = r.norm(dim=-1, keepdim=True)
    g = g * (length / (2 * g.norm(dim=-1, keepdim=True) + 1e-6)).detach()
    e = (g - r).square() / length.clamp_min(1e-12)
    return (e * (r.square() / (e + 1e-6)).detach()).sum(-1).mean()
