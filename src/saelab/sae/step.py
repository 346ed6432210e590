"""What passes between a variant, its losses and its treatments."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypedDict

from jaxtyping import Float
from torch import Tensor

Normalize = Literal["none", "scale", "layer_norm", "whiten"]


class Dense(NamedTuple):
    """The dense stream of a two-stream model; y_hat is the sum of the two partial reconstructions."""

    z: Float[Tensor, "b z"]  # dense code
    y_dense: Float[Tensor, "b o"]  # what the dense stream explains
    y_sparse: Float[Tensor, "b o"]  # what the sparse stream explains
    mean: Float[Tensor, "b z"] | None = None  # of q(z|x), where z was sampled
    log_var: Float[Tensor, "b z"] | None = None


class Step(NamedTuple):
    """Everything a loss term may look at; all in normalised space."""

    x: Float[Tensor, "b i"]  # input
    y: Float[Tensor, "b o"]  # target: x itself, or another site (transcoder)
    pre: Float[Tensor, "b s"]  # pre-activations
    f: Float[Tensor, "b s"]  # codes
    y_hat: Float[Tensor, "b o"]  # reconstruction of y
    dense: Dense | None = None  # two-stream models only


class Sizes(TypedDict):
    """The arguments every variant needs."""

    d_in: int
    d_sae: int


class Common(Sizes, total=False):
    """The arguments every variant shares; a variant's constructor ends in `**common: Unpack[Common]`."""

    d_out: int | None
    skip: bool
    normalize: Normalize
    decoder: Literal["unit", "free"]
    b_dec_init: Literal["zeros", "mean", "median"]
    start_l0: float
    aux_k: int
    aux_coef: float
    ghost: float
    reanimate: float
    dead_after: int
