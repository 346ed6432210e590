"""What matching pursuit and its orthogonal form share: a dictionary that is its own encoder, searched greedily."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saelab.sae.base import SAE
from saelab.sae.step import Common

GRAM_MAX = 2**14  # atoms: their inner products take 1 GB in float32
FLOOR = 1e-5  # of ‖x − b_dec‖: a correlation below is what float32 makes of zero


class Picks(NamedTuple):
    """Which atoms each row has picked, one slot a step; a slot that holds none is not live."""

    which: Int[Tensor, "b k"]
    live: Bool[Tensor, "b k"]


class Pursuit(SAE):
    """f: coefficients of at most k atoms, each picked as the one that r correlates with most; y_hat = f W_dec + b_dec.

        r_0 = x − b_dec,   j_t = argmax_j r_{t−1} · d_j,   d_j = W_dec,j,   ‖d_j‖ = 1

    There is no W_enc and no b_enc: pre = (x − b_dec) W_decᵀ, the correlations of the first step, is what AuxK and
    reanimation look at. `search` finds the support without gradient; `solve` gives the coefficients as a
    differentiable function of the atoms on it, through their k x k Gram matrix, so that memory is `[b, k, d]` and
    not k times that of a dense encoder. A row also stops early when no atom correlates (positively) with its residual.
    Inference is in float32, or in what is wider, whatever the model's dtype.

    Errors: ValueError for a transcoder (the residual that is pursued is the input's own), for `decoder=free` (atoms
    must have norm one), for `start_l0` (there are no biases), for `encoder_hidden` (there is no encoder), and for other
    likelihoods than the plain Gaussian: inner products with a residual are the gain of a squared error, of no other.
    """

    no_layers = "a pursuit's atoms are its encoder"

    def __init__(
        self, *, k: int = 32, signed: bool = False, residual_threshold: float = 0.0, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        name = type(self).__name__
        if self.transcoder:
            raise ValueError(f"{name} explains its input with the atoms it is made of, so it cannot be a transcoder.")
        if self.decoder != "unit":
            raise ValueError(f"decoder={self.decoder}: {name} needs atoms of norm one, decoder=unit.")
        if not self.likelihood.plain:
            asked = f"likelihood={self.likelihood.kind} with pos_weight={self.likelihood.pos_weight}"
            raise ValueError(f"{asked}: what {name} pursues is a squared residual: gaussian, pos_weight=1; or densae.")
        if self.start_l0:
            raise ValueError(f"start_l0={self.start_l0}: {name} has no biases to start from; leave it at 0.")
        if not 1 <= k <= self.d_sae:
            raise ValueError(f"k={k} must be between 1 and d_sae={self.d_sae}.")
        if residual_threshold < 0:
            raise ValueError(f"residual_threshold={residual_threshold} must not be negative; 0 turns it off.")
        self.k, self.signed, self.residual_threshold = k, signed, residual_threshold

    def build_encoder(self) -> None:
        """None: the atoms are the encoder."""
        self.register_parameter("W_enc", None)
        self.register_parameter("b_enc", None)

    def preactivate(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        """(x − b_dec) W_decᵀ."""
        return (x - self.b_dec) @ self.W_dec.T

    def latents(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
        wide = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            r, W_dec = x.to(wide) - self.b_dec.to(wide), self.W_dec.to(wide)
            pre = r @ W_dec.T
            with torch.no_grad():
                picks = self.search(r, W_dec, pre)
            atoms = nn.functional.embedding(picks.which, W_dec)
            values = self.solve(atoms @ atoms.mT, pre.gather(1, picks.which), picks.live)
            values = (values if self.signed else values.relu()) * picks.live
            f = torch.zeros_like(pre).scatter_add(1, picks.which, values)
        return pre.to(x.dtype), f.to(x.dtype)

    def search(self, r: Float[Tensor, "b d"], W_dec: Float[Tensor, "s d"], pre: Float[Tensor, "b s"]) -> Picks:
        """The support of each row, in the order of picking."""
        raise NotImplementedError

    def solve(
        self, gram: Float[Tensor, "b k k"], pre: Float[Tensor, "b k"], live: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b k"]:
        """Coefficients of the picked atoms, from their Gram matrix and their first correlations."""
        raise NotImplementedError

    def gram(self, W_dec: Float[Tensor, "s d"], rows: int) -> Float[Tensor, "s s"] | None:
        """Inner products of all atoms, where one product that all steps of all rows share costs less than theirs."""
        return W_dec @ W_dec.T if self.d_sae <= min(self.k * rows, GRAM_MAX) else None

    def best(self, corr: Float[Tensor, "b s"]) -> tuple[Float[Tensor, " b"], Int[Tensor, " b"]]:
        """The atom that a row's residual correlates with most, and by how much (a magnitude if `signed`)."""
        found = (corr.abs() if self.signed else corr).max(1)
        return found.values, found.indices

    def unfinished(self, r: Float[Tensor, "b d"]) -> Bool[Tensor, " b"]:
        """Rows whose residual is still longer than `residual_threshold`."""
        return r.square().sum(1) > self.residual_threshold**2
