"""Gated SAE."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.kernels import Support, above
from saelab.sae.base import SAE
from saelab.sae.step import Common, Step


class Gated(SAE):
    """f = H(pre) · ReLU(exp(r_mag) h + b_mag); whether a latent fires and how much have biases and scales of their own.

        h = (x − b_dec) W_enc,    pre = h + b_enc, the gate (b_enc is the paper's b_gate),    r_mag, b_mag: `[d_sae]`
        loss = ‖y − y_hat‖² + l1 · Σ_i ReLU(pre_i) n_i + ‖y − (ReLU(pre) sg(W_dec) + sg(b_dec))‖², means over rows

    The penalty pulls the gate alone, so the codes need not shrink. Through f no gradient reaches the gate's bias; it
    learns from the last term (`gate`), which must not teach the decoder: that is detached, sg (Rajamanoharan et al.
    2024, arXiv 2404.16014). n_i = 1 with a `unit` decoder and sg(‖W_dec,i‖) with a `free` one; were it not detached,
    rows would shrink, and exp(r_mag) grow in their place, at no cost (L0 191 instead of 32 on the quickstart).

    Args:
        l1: the penalty's weight.
        d_in, and the rest: see `SAE`.
    """

    def __init__(self, *, l1: float = 1.0, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        if l1 < 0:
            raise ValueError(f"l1={l1} must not be negative.")
        self.l1 = l1
        self.r_mag = nn.Parameter(torch.zeros(self.d_sae))
        self.b_mag = nn.Parameter(torch.zeros(self.d_sae))

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        magnitude = torch.addcmul(self.b_mag, self.r_mag.exp(), pre - self.b_enc)
        return magnitude.relu() * (pre > 0)

    def support(self, pre: Float[Tensor, "b s"]) -> tuple[Support, Float[Tensor, " n"]]:
        return above(pre, 0.0)

    def activate_at(self, pre: Float[Tensor, " n"], where: Support) -> Float[Tensor, " n"]:
        b_mag, r_mag, b_enc = (values[where.latent] for values in (self.b_mag, self.r_mag, self.b_enc))
        return torch.addcmul(b_mag, r_mag.exp(), pre - b_enc).relu()

    def losses(self, s: Step) -> dict[str, Tensor]:
        gate, W_dec = s.pre.relu(), self.W_dec.detach()
        y_gate = s.times(gate, W_dec) + self.b_dec.detach()
        if self.W_skip is not None:
            y_gate = y_gate + s.x @ self.W_skip.detach()
        return super().losses(s) | {
            "sparsity": self.l1 * s.weighted_total(gate, W_dec.norm(dim=1) if self.decoder == "free" else None),
            "gate": self.likelihood.error(y_gate, s.y),
        }

    def start_(self, level: Float[Tensor, " s"]) -> None:
        """Both biases, so that magnitudes start as the gate's own ReLU."""
        super().start_(level)
        self.b_mag.sub_(level)
