"""How an output is held against its target: as the mean of a Gaussian, or as the logits of Bernoulli variables."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from saelab.sae.step import squared_error

Kind = Literal["gaussian", "bernoulli"]
Rows = Float[Tensor, "b o"]
EDGE = 1e-3  # a bias starts no nearer to 0 or 1: a pixel that is black in a sample need not be black for ever


class Likelihood:
    """The reconstruction term of a loss, and what else depends on its form; y_hat is what a decoder gives.

        gaussian     error = Σ_d w (y − y_hat)²,                                     expected y = y_hat
        bernoulli    error = −Σ_d [p y log σ(y_hat) + (1 − y) log(1 − σ(y_hat))],    expected y = σ(y_hat − ln p)

    means over rows, with p = `pos_weight` and w = 1 + (p − 1) y: an entry that is on counts p times as much as one that
    is off. A Bernoulli y need not be 0 or 1, only between them. Where it is m on average the error is least for
    σ(y_hat) = p m / (1 + (p − 1) m), which is more than m; hence ln p in the expected y, so that a weight says what to
    learn first and makes no picture too bright. The weight is part of the objective wherever that is reported, in
    training and test alike; `cross_entropy` of `logits` is without it.

    Args:
        kind: `gaussian` or `bernoulli`.
        pos_weight: p; as torch's `binary_cross_entropy_with_logits` has it.
    """

    def __init__(self, kind: Kind = "gaussian", pos_weight: float = 1.0) -> None:
        if kind not in get_args(Kind):
            raise ValueError(f"likelihood={kind!r} is unknown: gaussian or bernoulli.")
        if pos_weight <= 0:
            raise ValueError(f"pos_weight={pos_weight} must be positive; 1 weighs all entries alike.")
        self.kind, self.pos_weight = kind, pos_weight

    @property
    def bernoulli(self) -> bool:
        return self.kind == "bernoulli"

    @property
    def plain(self) -> bool:
        """Whether it is the squared error, of entries of any size."""
        return not self.bernoulli and self.pos_weight == 1

    @property
    def curvature(self) -> float:
        """The largest second derivative of `nll` by an entry of y_hat, for targets between 0 and 1."""
        return max(1.0, self.pos_weight) * (0.25 if self.bernoulli else 1.0)

    def expected(self, y_hat: Float[Tensor, "*b o"]) -> Float[Tensor, "*b o"]:
        """The target that an output stands for."""
        return self.logits(y_hat).sigmoid() if self.bernoulli else y_hat

    def logits(self, y_hat: Float[Tensor, "*b o"]) -> Float[Tensor, "*b o"]:
        """Of Bernoulli variables, the logits of the expected target: without what the weight adds."""
        return y_hat if self.pos_weight == 1 else y_hat - math.log(self.pos_weight)

    def output(self, y: Float[Tensor, "*b o"]) -> Float[Tensor, "*b o"]:
        """The output that stands for a target: the inverse of `expected`, kept from infinity."""
        return y.clamp(EDGE, 1 - EDGE).logit() + math.log(self.pos_weight) if self.bernoulli else y

    def residual(self, y_hat: Rows, y: Rows) -> Rows:
        """What of the target is missing: y − expected(y_hat), in its own units, not in logits."""
        return y - self.expected(y_hat)

    def error(self, y_hat: Rows, y: Rows) -> Float[Tensor, ""]:
        """The term of the loss: a sum over d, mean over rows."""
        if self.plain:
            return squared_error(y_hat, y)
        return (1 if self.bernoulli else 2) * self.nll(y_hat, y).mean()

    def error_beside(self, y_hat: Rows, more: Rows, y: Rows) -> Float[Tensor, ""]:
        """The error of y_hat + more; of squares the error of `more` for the residual, the same but for rounding."""
        return squared_error(more, y - y_hat) if self.plain else self.error(y_hat + more, y)

    def nll(self, y_hat: Rows, y: Rows) -> Float[Tensor, " b"]:
        """−log likelihood of each row, but for constants: a Gaussian's of variance one is half the squared error."""
        if self.bernoulli:
            p = None if self.pos_weight == 1 else y_hat.new_tensor(self.pos_weight)
            return binary_cross_entropy_with_logits(y_hat, y, pos_weight=p, reduction="none").sum(1)
        squares = (y - y_hat).square()
        return (squares if self.plain else squares * self.weight(y)).sum(1) / 2

    def score(self, y_hat: Rows, y: Rows) -> Rows:
        """−∂ nll / ∂ y_hat; without weights it is the residual."""
        if self.pos_weight == 1:
            return self.residual(y_hat, y)
        if self.bernoulli:
            return self.pos_weight * y - self.weight(y) * y_hat.sigmoid()
        return self.weight(y) * (y - y_hat)

    def weight(self, y: Rows) -> Rows:
        """w of each entry."""
        return 1 + (self.pos_weight - 1) * y

    def check(self, y: Rows) -> None:
        """Raises: ValueError for targets that are not between 0 and 1, where they must be."""
        if not self.plain and not (y.amin() >= 0 and y.amax() <= 1):
            raise ValueError(
                f"likelihood={self.kind} with pos_weight={self.pos_weight} is for targets between 0 and 1, such as "
                f"pixels; these go from {y.amin():.3g} to {y.amax():.3g}: likelihood=gaussian and pos_weight=1."
            )


def cross_entropy(y_hat: Rows, y: Rows) -> Float[Tensor, ""]:
    """−Σ_d [y log σ(y_hat) + (1 − y) log(1 − σ(y_hat))] of logits, mean over rows, in float32 or what is wider."""
    wide = torch.promote_types(y_hat.dtype, torch.float32)
    return binary_cross_entropy_with_logits(y_hat.to(wide), y.to(wide), reduction="sum") / len(y)
