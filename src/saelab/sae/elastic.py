"""What inference of a dense and a sparse code minimises, and how."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.likelihood import Likelihood
from saelab.sae.proximal import monotone_fista, shrink

Codes = Float[Tensor, "b n"]  # z and f, side by side
Rows = Float[Tensor, "b d"]


class Form(NamedTuple):
    """What is settled before there are rows."""

    likelihood: Likelihood
    n_dense: int  # width of z
    l1: float
    ridge: float
    signed: bool  # f of either sign, else f >= 0


class Elastic(NamedTuple):
    """F(z, f) = nll(x; z A + f B + bias) + ½ ridge ‖z‖² + l1 ‖f‖₁ of each row x, minimised by proximal gradient.

    nll is ½ ‖x − bias − z A − f B‖² or a cross-entropy, see `Likelihood`. A step is as long as `lipschitz` allows: no
    less than the curvature of nll times λ_max of the atoms' Gram matrix, plus ridge. Then F never rises.
    """

    form: Form
    x: Rows
    bias: Float[Tensor, " d"]
    atoms: Float[Tensor, "n d"]  # A over B
    lipschitz: Float[Tensor, ""]

    def sizes(self) -> list[int]:
        return [self.form.n_dense, len(self.atoms) - self.form.n_dense]

    def centred(self) -> Elastic:
        """The same problem without a bias, where that can be taken from the rows once and for all."""
        return self._replace(x=self.x - self.bias, bias=self.bias[:0]) if self.form.likelihood.plain else self

    def output(self, y: Rows) -> Rows:
        """y = codes @ atoms, and the bias."""
        return y + self.bias if len(self.bias) else y

    def value(self, codes: Codes, y: Rows) -> Float[Tensor, " b"]:
        """F of each row; y = codes @ atoms."""
        z, f = codes.split(self.sizes(), 1)
        fit = self.form.likelihood.nll(self.output(y), self.x)
        return fit + self.form.ridge / 2 * z.square().sum(1) + self.form.l1 * f.abs().sum(1)

    def score(self, y: Rows) -> Rows:
        """−∂ nll / ∂ y: what is left of the rows, in their own units, and weighted if they are."""
        return self.form.likelihood.score(self.output(y), self.x)

    def unexplained(self) -> Rows:
        """The score of empty codes; where there is no bias any more, the rows themselves."""
        return self.score(torch.zeros_like(self.x)) if len(self.bias) else self.x

    def ascend(self, codes: Codes, y: Rows) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b s"]]:
        """Both codes after a step of length 1 / lipschitz against the gradient of F's smooth part."""
        (z, f), (up_z, up_f) = codes.split(self.sizes(), 1), (self.score(y) @ self.atoms.T).split(self.sizes(), 1)
        return z + (up_z - self.form.ridge * z) / self.lipschitz, f + up_f / self.lipschitz

    def descend(self, codes: Codes, y: Rows) -> Codes:
        """The whole step: the penalty's shrinkage after the gradient."""
        z, f = self.ascend(codes, y)
        return torch.cat([z, shrink(f, self.form.l1 / self.lipschitz, signed=self.form.signed)], 1)

    def minimise(self, codes: Codes, iterations: int, *, momentum: bool) -> Codes:
        """Codes after so many steps from the given ones."""
        if momentum:
            return monotone_fista(codes, self.atoms, self.descend, self.value, iterations)
        for _ in range(iterations):
            codes = self.descend(codes, codes @ self.atoms)
        return codes
