"""Matching-pursuit SAE."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saelab.sae.pursuit import FLOOR, Picks, Pursuit
from saelab.sae.step import Common


class MatchingPursuit(Pursuit):
    """f_j = Σ_{t: j_t = j} c_t over k greedy steps on the residual (Costa et al. 2025, arXiv 2506.03093).

        j_t = argmax_j r_{t−1} · d_j,   c_t = ReLU(r_{t−1} · d_{j_t}),   r_t = r_{t−1} − c_t d_{j_t}

    With the atoms j_1 … j_k fixed, c solves the unit lower triangular system c_t + Σ_{u<t} (d_{j_t} · d_{j_u}) c_u =
    pre_{j_t}: its gradient is that of the unrolled steps. An atom may be picked again, and its coefficients add up, so
    L0 can be less than k; `repeats` is for those who want it otherwise. loss = ‖y − y_hat‖² + AuxK.

    sae-lens stops at ‖r‖ <= 0.01 in the units of its input, and after a repeat; overcomplete takes the largest signed
    correlation and its value without a ReLU, which is neither of the two here when all correlations are negative.

    Args:
        k: greedy steps.
        signed: pick by |r · d_j|, with coefficients of either sign.
        residual_threshold: a row is done once ‖r‖ is not above this, in normalised space, where ‖x‖ is about √d.
        repeats: `add` picks an atom again, `stop` does so once and ends the row, `exclude` takes another.
        d_in, and the rest: see `SAE`, and `Pursuit` for what it refuses.
    """

    def __init__(
        self,
        *,
        k: int = 32,
        signed: bool = False,
        residual_threshold: float = 0.0,
        repeats: Literal["add", "stop", "exclude"] = "add",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(k=k, signed=signed, residual_threshold=residual_threshold, **common)
        if repeats not in ("add", "stop", "exclude"):
            raise ValueError(f"repeats={repeats!r} is unknown: add, stop or exclude.")
        self.repeats = repeats

    def search(self, r: Float[Tensor, "b d"], W_dec: Float[Tensor, "s d"], pre: Float[Tensor, "b s"]) -> Picks:
        gram = self.gram(W_dec, len(r))
        floor, going = FLOOR * r.norm(dim=1), r.new_ones(len(r), dtype=torch.bool)
        picked = torch.zeros_like(pre, dtype=torch.bool)
        corr, which, live = pre, [], []
        for _ in range(self.k):
            best, j = self.best(corr.masked_fill(picked, 0) if self.repeats == "exclude" else corr)
            at = j[:, None]
            going = going & (best > floor) & self.unfinished(r)
            again = picked.gather(1, at).squeeze(1)
            picked.scatter_(1, at, True)
            c = corr.gather(1, at) * going[:, None]
            r = r - c * W_dec[j]
            corr = r @ W_dec.T if gram is None else torch.addcmul(corr, c, gram[j], value=-1)
            which.append(j)
            live.append(going)
            if self.repeats == "stop":
                going = going & ~again
        return Picks(torch.stack(which, 1), torch.stack(live, 1))

    def solve(
        self, gram: Float[Tensor, "b k k"], pre: Float[Tensor, "b k"], live: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b k"]:
        return torch.linalg.solve_triangular(gram.tril(-1), pre[..., None], upper=False, unitriangular=True).squeeze(2)
