"""An SAE whose encoder is a few learned steps of inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.kernels import Support, keep_top
from saelab.sae.base import SAE
from saelab.sae.prefixes import Prefixes, Weights
from saelab.sae.step import UNKNOWN, Common, Step

GAIN = 0.5


class LISTA(SAE):
    """f_0 = act(c), f_t = act(c + f_{t−1} S), c = (x − b_dec) W_enc + b_enc, for n iterations (Gregor & LeCun 2010).

    S `[d_sae, d_sae]` is where latents inhibit each other: ISTA has S = I − W_dec W_enc and W_enc = W_decᵀ / L, here
    all are learned. Thresholds are −b_enc, one a latent, the same in each step. pre is that of the last step.

        tied      f S = g ⊙ (f − (f W_dec) W_enc),  g `[d_sae]` learned: as costly as encoding again
        low_rank  f S = g ⊙ f − (f U) V,  U, Vᵀ `[d_sae, rank]`
        full      S itself: d_sae² parameters

    All start as tied with g = 1/2 (low_rank: in `rank` random directions of x; full: exactly). loss = ‖y − y_hat‖² +
    l1 Σ_i f_i (`sparsity`, if l1 > 0) + AuxK, means over rows.

    Args:
        iterations: n; 0 would be a plain SAE.
        step: `tied`, `low_rank` or `full`. A transcoder cannot be `tied`, whose residual is in the input's space.
        rank: of `low_rank`.
        select: `topk` keeps each row's k largest positive entries, `shrink` all positive ones.
        k: codes a row may use, for `topk`.
        l1: weight of the codes' sum; `shrink` has nothing else that makes codes sparse.
        levels, level_weights: prefixes that must reconstruct alone, as in `Matryoshka`; by default the whole only.
        d_in, and the rest: see `SAE`.
    """

    no_layers = "LISTA's depth is its iterations"

    def __init__(
        self,
        *,
        iterations: int = 1,
        step: Literal["tied", "low_rank", "full"] = "tied",
        rank: int = 64,
        select: Literal["topk", "shrink"] = "topk",
        k: int = 32,
        l1: float = 0.0,
        levels: Sequence[float] = (1.0,),
        level_weights: Weights = "mean",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if iterations < 1:
            raise ValueError(f"iterations={iterations} must be at least 1; without any, this is TopK or ReLU.")
        if step not in ("tied", "low_rank", "full"):
            raise ValueError(f"step={step!r} is unknown: tied, low_rank or full.")
        if step == "tied" and (self.transcoder or self.likelihood.bernoulli):
            output = "a transcoder's output is" if self.transcoder else "logits are"
            raise ValueError(f"step=tied: {output} not in the space of the input; step=low_rank.")
        rank = min(rank, 1) if self.d_in == UNKNOWN else rank
        if step == "low_rank" and not 1 <= rank <= self.d_in:
            raise ValueError(f"rank={rank} must be between 1 and d_in={self.d_in}.")
        if select not in ("topk", "shrink"):
            raise ValueError(f"select={select!r} is unknown: topk or shrink.")
        if select == "topk" and not 1 <= k <= self.d_sae:
            raise ValueError(f"k={k} must be between 1 and d_sae={self.d_sae}.")
        if l1 < 0:
            raise ValueError(f"l1={l1} must not be negative.")
        self.iterations, self.structure, self.select, self.k, self.l1 = iterations, step, select, k, l1
        self.prefixes = Prefixes(d_sae=self.d_sae, levels=levels, random=0, weights=level_weights)
        self.build_step(rank)

    def build_step(self, rank: int) -> None:
        """Make S, at ISTA's inhibition of half strength."""
        W_enc = self.W_enc.detach()
        if self.structure == "full":
            self.S = nn.Parameter(GAIN * (torch.eye(self.d_sae) - W_enc.T @ W_enc))
            return
        self.gain = nn.Parameter(torch.full((self.d_sae,), GAIN))
        if self.structure == "low_rank":
            V = torch.linalg.qr(torch.randn(self.d_in, rank)).Q.T @ W_enc
            self.U, self.V = nn.Parameter(GAIN * V.T), nn.Parameter(V)

    def inhibit(self, f: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """f S."""
        if self.structure == "full":
            return f @ self.S
        if self.structure == "low_rank":
            return self.gain * f - (f @ self.U) @ self.V
        return self.gain * (f - (f @ self.W_dec) @ self.W_enc)

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return keep_top(pre, self.k) if self.select == "topk" else pre.relu()

    def latents(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
        pre = c = self.preactivate(x)
        f = self.activate(pre)
        for _ in range(self.iterations):
            pre = c + self.inhibit(f)
            f = self.activate(pre)
        return pre, f

    def levels(
        self, f: Float[Tensor, ...], x: Float[Tensor, "b i"], where: Support | None
    ) -> Iterator[Float[Tensor, "b o"]]:
        return self.prefixes.levels(self, f, x, where)

    def error(self, s: Step) -> Float[Tensor, ""]:
        return self.prefixes.error(s, self.likelihood)

    def losses(self, s: Step) -> dict[str, Tensor]:
        terms = super().losses(s)
        return terms | {"sparsity": self.l1 * s.total(s.f)} if self.l1 else terms
