"""What passes between a variant, its losses and its treatments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import mse_loss

from saelab.kernels import Support, decode

Normalize = Literal["none", "scale", "layer_norm", "whiten"]
Decoder = Literal["unit", "free", "archetypal"]
UNKNOWN = 1  # the width of rows a config is tried with before there are data; no rule of widths holds for it


class Dense(NamedTuple):
    """The dense stream of a two-stream model; y_hat is the sum of the two partial reconstructions."""

    z: Float[Tensor, "b z"]  # dense code
    y_dense: Float[Tensor, "b o"]  # what the dense stream explains
    y_sparse: Float[Tensor, "b o"]  # what the sparse stream explains
    mean: Float[Tensor, "b z"] | None = None  # of q(z|x), where z was sampled
    log_var: Float[Tensor, "b z"] | None = None


class Step(NamedTuple):
    """Everything a loss term may look at; all in normalised space.

    On the sparse path `where` says which places are kept, and `pre` and `f` are their entries `[n]` alone. A term that
    is written with `of`, `total` and `times` is the same on both: `s.total(s.f * s.of(weight))`.
    """

    x: Float[Tensor, "b i"]  # input
    y: Float[Tensor, "b o"]  # target: x itself, or another site (transcoder)
    pre: Float[Tensor, "b s"] | Float[Tensor, " n"]  # pre-activations; where none but the codes' are kept, the codes
    f: Float[Tensor, "b s"] | Float[Tensor, " n"]  # codes
    y_hat: Float[Tensor, "b o"]  # reconstruction of y
    dense: Dense | None = None  # two-stream models only
    where: Support | None = None  # the sparse path only
    levels: tuple[Float[Tensor, "b o"], ...] = ()  # of nested models, one a prefix; the last is y_hat
    errors: tuple[Float[Tensor, ""], ...] = ()  # of each of these, mean over rows
    sums: Float[Tensor, " s"] | None = None  # of f over rows, where they are at hand

    def of(self, per_latent: Float[Tensor, " s"]) -> Float[Tensor, " _"]:
        """A number per latent, as it goes with `pre` and `f`."""
        return per_latent if self.where is None else per_latent[self.where.latent]

    def total(self, terms: Float[Tensor, ...]) -> Float[Tensor, ""]:
        """Sum over latents, mean over rows, in float32 or what is wider."""
        return terms.sum(dtype=torch.promote_types(terms.dtype, torch.float32)) / len(self.x)

    def weighted_total(self, codes: Float[Tensor, ...], weight: Float[Tensor, " s"] | None) -> Float[Tensor, ""]:
        """Σ_i codes_i weight_i, mean over rows; sums over rows first, so that no product of all places is made."""
        if weight is None:
            return self.total(codes)
        if self.where is not None:
            each = self.where.sum_by_latent(codes)
        else:
            each = self.sums if self.sums is not None and codes is self.f else codes.sum(0)
        return self.total(each * weight)

    def times(self, codes: Float[Tensor, ...], W_dec: Float[Tensor, "s o"]) -> Float[Tensor, "b o"]:
        """Codes W_dec, for codes like `f`."""
        return codes @ W_dec if self.where is None else decode(codes, W_dec, self.where)

    def fired(self) -> Bool[Tensor, " s"]:
        """Which latents have a code in this batch."""
        if self.where is None:
            return (self.f.amax(0) > 0) | (self.f.amin(0) < 0)  # no mask of all places, which takes ten times as long
        used = torch.zeros(self.where.width, dtype=torch.bool, device=self.f.device)
        return used.index_fill_(0, self.where.latent[self.f != 0], True)


def squared_error(y_hat: Float[Tensor, "b o"], y: Float[Tensor, "b o"]) -> Float[Tensor, ""]:
    """Σ_d (y_hat − y)², mean over rows."""
    return mse_loss(y_hat, y, reduction="sum") / len(y)


class Sizes(TypedDict):
    """The arguments every variant needs."""

    d_in: int
    d_sae: int


class Common(Sizes, total=False):
    """The arguments every variant shares; a variant's constructor ends in `**common: Unpack[Common]`."""

    d_out: int | None
    skip: bool
    normalize: Normalize
    decoder: Decoder
    points: int
    delta: float
    b_dec_init: Literal["zeros", "mean", "median"]
    start_l0: float
    aux_k: int
    aux_coef: float
    ghost: float
    reanimate: float
    dead_after: int
    likelihood: Literal["gaussian", "bernoulli"]
    pos_weight: float
    encoder_hidden: Sequence[int]
    bf16_encode: bool
