"""What variants with a learned threshold per latent share."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.kernels import Support, above
from saelab.sae.base import SAE
from saelab.sae.rectangle import jumprelu, step
from saelab.sae.step import Common, Step


class Thresholded(SAE):
    """f_i = pre_i · H(pre_i > θ_i), θ >= 0 learned through a rectangle (see `step`); a variant adds what limits L0.

    θ is direct (no logarithm), float32 whatever the model's dtype, and clamped at 0 after each step. It and the
    bandwidth are in normalised space, where E‖x‖² = d and a unit row's pre-activations are of order 1.

    With `start_l0` the bias brings the pre-activation that start_l0 / d_sae of the rows exceed to θ. Thresholds that
    took this quantile themselves would start at a few units and fire in jumps as large: on MNIST's MLP (2,048 latents,
    four epochs) that ends at EV 0.930 with 53 % dead, biases at 0.967 with 4 %.

    Args:
        threshold: where θ starts.
        bandwidth: ε, the width of the rectangle.
        ste_to_input: whether pre-activations get the rectangle's gradient too (Anthropic, January 2025).
        pre_act: weight of Σ_{i dead} ReLU(θ_i − pre_i) ‖W_dec,i‖, mean over rows: a dead latent's threshold and
            pre-activations are drawn together until it fires (Anthropic, January 2025).
        d_in, and the rest: see `SAE`.
    """

    controller = ("threshold",)

    def __init__(
        self,
        *,
        threshold: float = 0.1,
        bandwidth: float = 0.5,
        ste_to_input: bool = False,
        pre_act: float = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        for name, value in {"threshold": threshold, "pre_act": pre_act}.items():
            if value < 0:
                raise ValueError(f"{name}={value} must not be negative.")
        if bandwidth <= 0:
            raise ValueError(f"bandwidth={bandwidth} must be positive: without it no gradient reaches a threshold.")
        self.bandwidth, self.ste_to_input, self.pre_act = bandwidth, ste_to_input, pre_act
        self.threshold = nn.Parameter(torch.full((self.d_sae,), float(threshold)))

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return jumprelu(pre, self.threshold, self.bandwidth, self.ste_to_input)

    def support(self, pre: Float[Tensor, "b s"]) -> tuple[Support, Float[Tensor, " n"]]:
        """What is above its threshold, and what is so little below that the rectangle reaches it."""
        return above(pre, self.threshold - self.bandwidth / 2)

    def activate_at(self, pre: Float[Tensor, " n"], where: Support) -> Float[Tensor, " n"]:
        return jumprelu(pre, self.threshold[where.latent], self.bandwidth, self.ste_to_input)

    def count(self, s: Step) -> Float[Tensor, ""]:
        """L0 of a batch, mean over rows, float32, with the gradient of `step` on pre-activations.

        Codes would not do: they are 0 or above θ, so half of the rectangle would stay empty.
        """
        return s.total(step(s.pre, s.of(self.threshold), self.bandwidth, self.ste_to_input))

    def revival(self, s: Step) -> dict[str, Tensor]:
        terms = super().revival(s)
        if self.pre_act:
            dead = self.dead.nonzero().squeeze(1)
            short = (self.threshold[dead] - self.pre_of(s, dead)).relu()
            terms["pre_act"] = self.pre_act * s.total(short * self.W_dec[dead].norm(dim=1))
        return terms

    def facts(self) -> dict[str, Tensor]:
        return {"threshold": self.threshold.mean()}

    def start_(self, level: Float[Tensor, " s"]) -> None:
        """The bias takes `level` to the threshold."""
        self.b_enc.add_(self.threshold - level)

    @torch.no_grad()
    def project_(self) -> None:
        super().project_()
        self.threshold.clamp_(min=0)
