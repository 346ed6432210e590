"""The untrained control."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.kernels import keep_top
from saelab.sae.control import Control
from saelab.sae.init import START_ROWS, upper_quantile
from saelab.sae.step import Common

Init = Literal["xavier", "kaiming", "orthogonal"]


class Random(Control):
    """f = ReLU(x_c W_enc + b_enc), or its k largest entries, with W_enc random: what training has to beat.

    Untrained codes can look selective for concepts, the more so the denser they are, so a control must fire as often
    as what it is compared with. `init_from_` sets b_enc from its sample so that L0 is `target_l0`. The decoder is
    random unit rows, or with `fit_decoder` least squares on the sample (ridge 1e-3 of the codes' mean square): the
    best that can be read from random codes.

    Args:
        target_l0: codes a row uses, on average.
        select: `latent` gives each latent a threshold of its own, so that all fire equally often; `shared` one
            threshold to all, as if by chance some fire much more than others; `topk` keeps each row's
            round(target_l0) largest, or fewer where fewer are positive.
        init: of W_enc: `xavier` or `kaiming` uniform, or `orthogonal`.
        fit_decoder: whether the decoder is fitted; its rows then have norms of their own, so decoder=free.
        d_in, and the rest: see `SAE`, and `Control` for what it refuses.
    """

    def __init__(
        self,
        *,
        target_l0: float = 32,
        select: Literal["latent", "shared", "topk"] = "latent",
        init: Init = "xavier",
        fit_decoder: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if not 0 < target_l0 <= self.d_sae:
            raise ValueError(f"target_l0={target_l0} must be above 0 and at most d_sae={self.d_sae}.")
        if select not in ("latent", "shared", "topk"):
            raise ValueError(f"select={select!r} is unknown: latent, shared or topk.")
        if select == "topk" and round(target_l0) < 1:
            raise ValueError(f"target_l0={target_l0}: select=topk keeps a whole number of codes, at least 1.")
        if fit_decoder and self.decoder == "unit":
            raise ValueError("fit_decoder=True: rows fitted by least squares have norms of their own, decoder=free.")
        self.target_l0, self.select, self.fit_decoder = target_l0, select, fit_decoder
        initialize_(self.W_enc.T, init)

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return keep_top(pre, round(self.target_l0)) if self.select == "topk" else pre.relu()

    @torch.no_grad()
    def init_from_(self, x: Float[Tensor, "n i"], y: Float[Tensor, "n o"] | None = None) -> None:
        super().init_from_(x, y)
        x, target = self.norm(x), self.norm_out(x if y is None else y)
        pre, share = self.preactivate(x[:START_ROWS]), self.target_l0 / self.d_sae
        if self.select == "latent":
            self.b_enc.sub_(upper_quantile(pre, share))
        elif self.select == "shared":
            self.b_enc.sub_(upper_quantile(pre.reshape(-1, 1), share))
        if self.fit_decoder:
            f = self.latents(x)[1]
            self.W_dec.copy_(ridge(f, target - self.b_dec))


def initialize_(W: Float[Tensor, "s i"], init: Init) -> None:
    """Random rows, by name."""
    if init == "xavier":
        nn.init.xavier_uniform_(W)
    elif init == "kaiming":
        nn.init.kaiming_uniform_(W, nonlinearity="relu")
    elif init == "orthogonal":
        nn.init.orthogonal_(W)
    else:
        raise ValueError(f"init={init!r} is unknown: xavier, kaiming or orthogonal.")


def ridge(f: Float[Tensor, "n s"], y: Float[Tensor, "n o"]) -> Float[Tensor, "s o"]:
    """argmin ‖y − f W‖² + ε ‖W‖², ε = 1e-3 of the mean square of a code times n; by the smaller of the two systems."""
    f, y = f.double(), y.double()
    n, s = f.shape
    epsilon = 1e-3 * f.square().sum() / s
    if n < s:
        gram = f @ f.T
        gram.diagonal().add_(epsilon)
        return f.T @ torch.linalg.solve(gram, y)
    gram = f.T @ f
    gram.diagonal().add_(epsilon)
    return torch.linalg.solve(gram, f.T @ y)
