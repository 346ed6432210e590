"""What the controls share: SAEs that nothing is trained in."""

from __future__ import annotations

import warnings
from typing import Literal, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.sae.base import SAE
from saelab.sae.step import Common


class Control(SAE):
    """An SAE that is complete once `init_from_` has seen data: no parameter asks for gradient, `trained` is False.

    Errors: ValueError for `skip`, whose path would stay zero, for `start_l0`, which would move the codes, for
    an archetypal decoder, layers before the encoder, or logits, all of which are learned.
    """

    no_layers = "nothing trains a control"

    def __init__(self, **common: Unpack[Common]) -> None:
        super().__init__(**common)
        name = type(self).__name__
        if self.W_skip is not None:
            raise ValueError(f"skip=True: nothing trains {name}, so its linear path would stay at zero.")
        if self.start_l0:
            raise ValueError(f"start_l0={self.start_l0}: {name} sets its own biases; leave it at 0.")
        if self.decoder == "archetypal":
            raise ValueError(f"decoder=archetypal: nothing trains {name}, so nothing would be mixed; decoder=unit.")
        if self.likelihood.bernoulli:
            raise ValueError(f"likelihood=bernoulli: nothing trains {name} to give logits; likelihood=gaussian.")
        self.requires_grad_(False)


class Axes(Control):
    """Coordinates along orthonormal axes V `[n, d]`: f = (x − c) Vᵀ, or that split into ReLU(±f); y_hat = c + f V.

    Split, the first n latents are the positive parts and the next n the negative ones. Latents beyond those needed
    never fire, and a warning says so; with too few, it is for the variant to say what is left out.
    """

    centre: Literal["zeros", "mean"] = "zeros"  # where b_dec is

    def __init__(self, *, signed: bool = True, **common: Unpack[Common]) -> None:
        name, start = type(self).__name__, common.setdefault("b_dec_init", self.centre)
        if start != self.centre:
            raise ValueError(f"b_dec_init={start}: {name} is centred at {self.centre}; set b_dec_init={self.centre}.")
        super().__init__(**common)
        if self.transcoder:
            raise ValueError(f"{name} takes its input apart along its own axes, so it cannot be a transcoder.")
        self.signed = signed

    @property
    def room(self) -> int:
        """How many axes the latents can hold."""
        return self.d_sae if self.signed else self.d_sae // 2

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return pre if self.signed else pre.relu()

    @torch.no_grad()
    def init_from_(self, x: Float[Tensor, "n i"], y: Float[Tensor, "n o"] | None = None) -> None:
        super().init_from_(x, y)
        axes = self.axes(self.norm(x))[: self.room]
        rows = axes if self.signed else torch.cat([axes, -axes])
        if spare := self.d_sae - len(rows):
            warnings.warn(
                f"{type(self).__name__}: {spare} of {self.d_sae} latents are spare: they stay dead.", stacklevel=2
            )
        self.W_dec.zero_()[: len(rows)] = rows
        self.W_enc.copy_(self.W_dec.T)

    def axes(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "v d"]:
        """Orthonormal axes for normalised rows, the most important first."""
        raise NotImplementedError
