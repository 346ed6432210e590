"""Orthogonal-matching-pursuit SAE."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saelab.sae.pursuit import FLOOR, Picks, Pursuit
from saelab.sae.step import Common

SPAN = 1e-4  # an atom with less than this of its ‖d‖² outside the span of those picked before adds nothing but error


class OMP(Pursuit):
    """f = argmin ‖x − b_dec − Σ_{j∈S} f_j d_j‖², solved anew after each of k greedy picks (Pati et al. 1993).

        S ← S ∪ {argmax_j r · d_j},   f_S = (D_S D_Sᵀ)⁻¹ D_S (x − b_dec),   r = x − b_dec − f_S D_S

    Non-negative by default: atoms whose coefficient would be negative leave S, by the inner loop of Lawson and
    Hanson, until all are positive (Bruckstein et al. 2008), so L0 can be less than k; an atom that left may be picked
    again. With `signed`, picking is by |r · d_j| and the least squares are free. A row also stops when the best atom
    lies in the span of S. A step of training takes about 20 times TopK's on a CPU (matching pursuit: 6); on an
    accelerator, non-negativity waits for the device once a pick.

    Gradient: through the solve, with S fixed. For the reconstruction it makes no difference, since f is optimal on S:
    there the dictionary learns as if f were constant, as in the method of optimal directions. Other terms of a loss,
    and attributions to x, see how f moves. loss = ‖y − y_hat‖² + AuxK.

    Args:
        k: greedy steps.
        signed: coefficients of either sign.
        residual_threshold: a row is done once ‖r‖ is not above this, in normalised space, where ‖x‖ is about √d.
        d_in, and the rest: see `SAE`, and `Pursuit` for what it refuses.
    """

    def __init__(
        self, *, k: int = 32, signed: bool = False, residual_threshold: float = 0.0, **common: Unpack[Common]
    ) -> None:
        super().__init__(k=k, signed=signed, residual_threshold=residual_threshold, **common)

    def search(self, r: Float[Tensor, "b d"], W_dec: Float[Tensor, "s d"], pre: Float[Tensor, "b s"]) -> Picks:
        x, n, products = r, len(r), self.gram(W_dec, len(r))
        floor, going = FLOOR * x.norm(dim=1), r.new_ones(n, dtype=torch.bool)
        atoms, gram = r.new_zeros(n, self.k, r.shape[1]), r.new_zeros(n, self.k, self.k)
        f, first = r.new_zeros(n, self.k), r.new_zeros(n, self.k)
        which, live = torch.zeros_like(f, dtype=torch.long), torch.zeros_like(f, dtype=torch.bool)
        for t in range(self.k):
            seen = slice(0, t + 1)
            corr = r @ W_dec.T if t else pre
            best, j = self.best(corr)
            which[:, t], atoms[:, t], first[:, t] = j, W_dec[j], pre.gather(1, j[:, None]).squeeze(1)
            if products is None:
                inner = (atoms[:, seen] @ W_dec[j, :, None]).squeeze(2)
            else:
                inner = products[j[:, None], which[:, seen]]
            gram[:, t, seen], gram[:, seen, t] = inner, inner
            live[:, t] = going & (best > floor) & self.unfinished(r)
            after, outside = least_squares(gram[:, seen, seen], first[:, seen], live[:, seen])
            going = live[:, t] & (outside > SPAN)
            live[:, t] = going
            after = torch.where(going[:, None], after, f[:, seen])
            if not self.signed:
                after = keep_positive_(f[:, seen], after, gram[:, seen, seen], first[:, seen], live[:, seen])
            f[:, seen] = after
            r = x - (f[:, None, seen] @ atoms[:, seen]).squeeze(1)
        return Picks(which, live)

    def solve(
        self, gram: Float[Tensor, "b k k"], pre: Float[Tensor, "b k"], live: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b k"]:
        return least_squares(gram, pre, live)[0]


def least_squares(
    gram: Float[Tensor, "b t t"], first: Float[Tensor, "b t"], live: Bool[Tensor, "b t"]
) -> tuple[Float[Tensor, "b t"], Float[Tensor, " b"]]:
    """Coefficients on the live slots, by Cholesky, and how much of the last one's ‖d‖² the others do not span."""
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    L = torch.linalg.cholesky_ex(torch.where(live[:, :, None] & live[:, None, :], gram, eye)).L
    return torch.cholesky_solve((first * live)[:, :, None], L).squeeze(2), L[:, -1, -1].square()


def keep_positive_(
    before: Float[Tensor, "b t"],
    after: Float[Tensor, "b t"],
    gram: Float[Tensor, "b t t"],
    first: Float[Tensor, "b t"],
    live: Bool[Tensor, "b t"],
) -> Float[Tensor, "b t"]:
    """Non-negative least squares from a non-negative start: the inner loop of Lawson and Hanson, over all rows at once.

    `after` are the least squares on the live slots. Where one is negative, go from `before` towards `after` until the
    first coefficient is zero, take that slot off (of `live`, in place), solve again, and so on: no more often than
    there are slots.
    """
    while len(rows := (live & (after <= 0)).any(1).nonzero().squeeze(1)):
        start, end, active = before[rows], after[rows], live[rows]
        bad = active & (end <= 0)
        share, gone = torch.where(bad, start / (start - end).clamp_min(1e-30), torch.inf).min(1, keepdim=True)
        active = active.scatter(1, gone, False)
        live[rows] = active
        before = before.index_put((rows,), (start + share * (end - start)).scatter(1, gone, 0.0))
        after = after.index_put((rows,), least_squares(gram[rows], first[rows], active)[0])
    return after
