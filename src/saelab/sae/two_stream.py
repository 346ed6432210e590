"""Models of a dense and a sparse part: two codes, one reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saelab.kernels import Support
from saelab.sae.base import SAE
from saelab.sae.step import UNKNOWN, Common, Dense, Step


class Streams(NamedTuple):
    """What each stream makes of the user's activations; `dense` + `sparse` is the reconstruction."""

    z: Float[Tensor, "b z"]  # dense codes
    f: Float[Tensor, "b s"]  # sparse codes
    dense: Float[Tensor, "b o"]
    sparse: Float[Tensor, "b o"]


class TwoStream(SAE):
    """y_hat = y_dense + y_sparse, with y_sparse = f W_dec and b_dec a part of y_dense.

    A variant overrides `infer`, which gives both codes and both partial reconstructions at once. `encode` gives the
    sparse codes; they are not all that the reconstruction needs, so `decode(f, x)` infers the dense stream of the rows
    x again, and edits of f leave it as it is. `forward` and `streams` infer once. A constant of the normalisation,
    such as a mean, belongs to the dense stream. Of logits, the sums above are of logits; in the user's space the dense
    part is σ(y_dense), and the sparse part what is gained on it, σ(y_hat) − σ(y_dense).

    With `route` each output is one stream's alone, in training and in evaluation: of every `row` entries of y the first
    `dense` come from the dense stream, the others from the sparse one, for pictures side by side. The other stream's
    part is zero there, but for b_dec, which is everywhere; W_dec has no entries on the dense stream's side. Both codes
    still see the whole input.

    Args:
        route: [row, dense]; None for two streams that share all outputs.
        d_in, and the rest: see `SAE`.
    """

    own_dense: Tensor | None  # `[o]` bool: outputs that are the dense stream's

    def __init__(self, *, route: Sequence[int] | None = None, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        side = None if route is None else dense_side(route, self.d_out)
        self.register_buffer("own_dense", side, persistent=False)  # the config says it
        if side is not None:
            if self.decoder == "archetypal":
                raise ValueError("decoder=archetypal: data points lie on both sides of a route; decoder=unit or free.")
            if self.W_skip is not None:
                raise ValueError("skip=True: a linear path is neither stream's, so it cannot be routed.")
            self.confine_()

    @torch.no_grad()
    def confine_(self) -> None:
        """Take W_dec off the dense stream's outputs, and bring unit rows back to norm one."""
        if self.own_dense is not None:
            self.W_dec.masked_fill_(self.own_dense, 0)
            super().project_()

    @torch.no_grad()
    def project_(self) -> None:
        if self.own_dense is None:
            super().project_()
        else:
            self.confine_()

    def routed(
        self, dense: Float[Tensor, "n o"], sparse: Float[Tensor, "m o"]
    ) -> tuple[Float[Tensor, "n o"], Float[Tensor, "m o"]]:
        """Both streams' outputs, or atoms, each on its own side alone."""
        if self.own_dense is None:
            return dense, sparse
        return dense * self.own_dense, sparse * ~self.own_dense

    def infer(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"], Dense]:
        """Pre-activations, sparse codes and the dense stream of normalised inputs."""
        raise NotImplementedError

    def latents(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
        pre, f, _ = self.infer(x)
        return pre, f

    def reconstruct(
        self, f: Float[Tensor, "b s"], x: Float[Tensor, "b i"] | None = None, where: Support | None = None
    ) -> Float[Tensor, "b o"]:
        """f W_dec and the dense stream of x, in normalised space."""
        if x is None:
            raise ValueError("A part of the output is dense and comes from the rows; give them too: decode(f, x).")
        return self.infer(x)[2].y_dense + f @ self.W_dec

    def step(self, x: Float[Tensor, "b i"], y: Float[Tensor, "b o"] | None = None) -> Step:
        x = self.norm(x)
        pre, f, dense = self.infer(x)
        return Step(x, x if y is None else self.norm_out(y), pre, f, dense.y_dense + dense.y_sparse, dense)

    def streams(self, x: Float[Tensor, "b i"]) -> Streams:
        """Both codes, and both partial reconstructions in the user's space."""
        _, f, dense = self.infer(self.norm(x))
        whole = self.to_user(dense.y_dense + dense.y_sparse, x)
        part = self.to_user(dense.y_dense, x)
        return Streams(dense.z, f, part, whole - part)

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        streams = self.streams(x)
        return streams.dense + streams.sparse


def dense_side(route: Sequence[int], d_out: int) -> Bool[Tensor, " o"]:
    """Which outputs are the dense stream's: of every `row` the first `dense`.

    Raises: ValueError for a route that is not [row, dense] with 0 < dense < row, or whose rows do not fill d_out.
    """
    if len(route) != 2 or not 0 < route[1] < route[0]:
        raise ValueError(f"route={[*route]} must be [row, dense], 0 < dense < row: [56, 28] for two pictures 28 wide.")
    row, dense = route
    if d_out % row and d_out != UNKNOWN:
        raise ValueError(f"route={[*route]}: rows of {row} do not fill d_out={d_out}.")
    return torch.arange(d_out) % row < dense
