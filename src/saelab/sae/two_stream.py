"""Models of a dense and a sparse part: two codes, one reconstruction."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support
from saelab.sae.base import SAE
from saelab.sae.step import Dense, Step


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
    such as a mean, belongs to the dense stream.
    """

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
        whole = self.norm_out.inverse(dense.y_dense + dense.y_sparse, x)
        part = self.norm_out.inverse(dense.y_dense, x)
        return Streams(dense.z, f, part, whole - part)

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        streams = self.streams(x)
        return streams.dense + streams.sparse
