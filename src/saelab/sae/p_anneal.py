"""ReLU SAE whose penalty turns from L1 towards L0."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.relu import ReLU
from saelab.sae.step import Common, Step

RECENT = 10  # batches whose penalties are compared at an update


class PAnneal(ReLU):
    """f = ReLU(pre); loss = ‖y − y_hat‖² + λ_t · Σ_i (f_i n_i)^p_t, both means over rows; n_i as in `ReLU`.

    p falls from p_start to p_end in `updates` equal steps, spread evenly from `anneal_start` to `anneal_end` of
    training; λ starts at l1. An update from p to p' also sets λ' = λ · Σ_q penalty(p) / Σ_q penalty(p'), sums over the
    last q = 10 batches, so that the term stays as large as it was: L1 finds latents, a smaller p then lets codes grow
    back without letting more of them in (Karvonen et al. 2024, arXiv 2408.00113, §3.2). λ / l1, the count of updates
    and the penalties of recent batches are buffers. If updates come faster than batches, one is made per batch.

    Args:
        l1: the penalty's weight while p is p_start.
        p_start, p_end: the first and the last exponent, 1 >= p_start > p_end > 0.
        anneal_start, anneal_end: fractions of training between which p falls.
        updates: how many steps p takes.
        d_in, and the rest: see `SAE`.
    """

    controller = ("scale", "recent")
    scale: Tensor
    recent: Tensor
    done: Tensor

    def __init__(
        self,
        *,
        l1: float = 1.0,
        p_start: float = 1.0,
        p_end: float = 0.2,
        anneal_start: float = 0.3,
        anneal_end: float = 0.9,
        updates: int = 10,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(l1=l1, p=p_start, **common)
        self.summed = False  # another p than 1 prices each code
        if not 0 < p_end < p_start:
            raise ValueError(f"p_end={p_end} must be above 0 and below p_start={p_start}.")
        if not 0 <= anneal_start < anneal_end <= 1:
            raise ValueError(
                f"anneal_start={anneal_start} and anneal_end={anneal_end} are fractions of training, the first smaller."
            )
        if updates < 1:
            raise ValueError(f"updates={updates} must be at least 1.")
        self.p_start, self.p_end, self.updates = p_start, p_end, updates
        self.anneal_start, self.anneal_end = anneal_start, anneal_end
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("recent", torch.zeros(RECENT, 2))  # penalties under p and under the next p, newest first
        self.register_buffer("done", torch.zeros((), dtype=torch.long))  # updates so far

    def exponent(self, ahead: int = 0) -> Float[Tensor, ""]:
        """p now, or some updates ahead."""
        part = (self.done + ahead).clamp_max(self.updates) / self.updates
        return self.p_start + (self.p_end - self.p_start) * part

    def sparsity(self, s: Step) -> Float[Tensor, ""]:
        return self.l1 * self.scale * self.penalty(s, self.exponent())

    def facts(self) -> dict[str, Tensor]:
        return {"p": self.exponent(), "lambda": self.l1 * self.scale}

    @torch.no_grad()
    def anneal_(self, progress: float) -> None:
        """Make the next update if it is due and a batch has been seen since the last."""
        part = (progress - self.anneal_start) / (self.anneal_end - self.anneal_start)
        now, then = self.recent.sum(0)
        due = (self.done < int(self.updates * min(max(part, 0.0), 1.0))) & (then > 0)
        self.scale.mul_(torch.where(due, now / then, 1.0))
        self.recent.masked_fill_(due, 0.0)
        self.done.add_(due)

    @torch.no_grad()
    def track_(self, s: Step) -> None:
        super().track_(s)
        penalties = [self.penalty(s, self.exponent(ahead)) for ahead in (0, 1)]
        self.recent.copy_(torch.cat([torch.stack(penalties)[None], self.recent[:-1]]))
