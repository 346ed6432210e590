"""A variational dense stream beside a sparse dictionary."""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.kernels import keep_top
from saelab.sae.step import Common, Dense, Step
from saelab.sae.two_stream import TwoStream

LOG_VAR = (-20.0, 10.0)  # beyond, a variance is none, or all there is
START_LOG_VAR = -4.0  # a code that starts as noise is not listened to, and never becomes a signal


class DenseVAESparse(TwoStream):
    """y_hat = MLP(z) + f W_dec + b_dec, with z ~ q(z|x) = N(μ(x'), diag e^{v(x')}), f = act(x' W_enc + b_enc).

    x' = x − b_dec, for a transcoder x; μ and v are heads of an MLP, v clamped to [−20, 10]. In training z is sampled,
    in evaluation it is μ, so that rows are encoded alike each time (Kingma & Welling 2014 for the dense stream).

    loss = ‖y − y_hat‖² + β(t) KL (`kl`) + l1 Σ_i f_i (`sparsity`) + AuxK, means over rows, with
    KL = ½ Σ_z (e^v + μ² − 1 − v) from N(0, 1). The square is not halved, so β = 1 is the evidence bound of a decoder
    with variance ½ in each normalised entry, and 2 σ² that of variance σ². β(t) rises linearly to β over the first
    `kl_warmup` of training, whatever its length, and is β for who never calls `anneal_`.

    For the first `dense_first` of training the sparse codes are zero, and no latent ages. Where sparse codes explain
    nearly all, dense ones that start beside them are not worth their KL and collapse to the prior: in the quickstart,
    without a head start, EV is 0.9805, TopK's, and the dense stream has none of the variance; with it, 0.983 and 57 %.

    Args:
        z_dim: width of the dense code.
        hidden: width of the two hidden layers of encoder and decoder.
        select: `topk` keeps each row's k largest positive pre-activations, `shrink` all positive ones: thresholds are
            −b_enc, one a latent.
        k: codes a row may use, for `topk`.
        l1: weight of the codes' sum; `shrink` has nothing else that makes codes sparse.
        beta: β, weight of the KL divergence.
        kl_warmup: fraction of training in which it rises from zero; 0 for none.
        dense_first: fraction of training in which there is the dense stream alone.
        d_in, and the rest: see `SAE`.
    """

    controller = ("kl_scale", "sparse_scale")
    kl_scale: Tensor
    sparse_scale: Tensor

    def __init__(
        self,
        *,
        z_dim: int = 16,
        hidden: int = 128,
        select: Literal["topk", "shrink"] = "topk",
        k: int = 32,
        l1: float = 0.0,
        beta: float = 0.02,
        kl_warmup: float = 0.5,
        dense_first: float = 0.2,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if z_dim < 1 or hidden < 1:
            raise ValueError(f"z_dim={z_dim} and hidden={hidden} must be positive.")
        if select not in ("topk", "shrink"):
            raise ValueError(f"select={select!r} is unknown: topk or shrink.")
        if select == "topk" and not 1 <= k <= self.d_sae:
            raise ValueError(f"k={k} must be between 1 and d_sae={self.d_sae}.")
        if l1 < 0 or beta < 0:
            raise ValueError(f"l1={l1} and beta={beta} must not be negative.")
        for name, value in {"kl_warmup": kl_warmup, "dense_first": dense_first}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value} is a fraction of training: between 0 and 1.")
        self.select, self.k, self.l1 = select, k, l1
        self.beta, self.kl_warmup, self.dense_first = beta, kl_warmup, dense_first
        self.dense_encoder = mlp(self.d_in, hidden, 2 * z_dim)
        self.dense_decoder = mlp(z_dim, hidden, self.d_out, bias=False)
        self.register_buffer("kl_scale", torch.ones(()))
        self.register_buffer("sparse_scale", torch.ones(()))  # 0 while the dense stream is alone, then 1

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return keep_top(pre, self.k) if self.select == "topk" else pre.relu()

    def infer(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"], Dense]:
        pre = self.preactivate(x)
        f = self.activate(pre) * self.sparse_scale.to(pre.dtype)
        mean, log_var = self.dense_encoder(x if self.transcoder else x - self.b_dec).chunk(2, dim=1)
        log_var = (log_var + START_LOG_VAR).clamp(*LOG_VAR)
        z = mean + torch.randn_like(mean) * (log_var / 2).exp() if self.training else mean
        y_dense = self.dense_decoder(z) + self.b_dec
        if self.W_skip is not None:
            y_dense = y_dense + x @ self.W_skip
        return pre, f, Dense(z, y_dense, f @ self.W_dec, mean, log_var)

    def losses(self, s: Step) -> dict[str, Tensor]:
        assert s.dense is not None and s.dense.mean is not None and s.dense.log_var is not None
        mean, log_var = s.dense.mean.float(), s.dense.log_var.float()
        kl = (log_var.exp() + mean.square() - 1 - log_var).sum(1).mean() / 2
        terms = super().losses(s) | {"kl": self.beta * self.kl_scale * kl}
        return terms | {"sparsity": self.l1 * s.total(s.f)} if self.l1 else terms

    def facts(self) -> dict[str, Tensor]:
        return {"beta": self.beta * self.kl_scale}

    def anneal_(self, progress: float) -> None:
        self.kl_scale.fill_(min(1.0, progress / self.kl_warmup) if self.kl_warmup else 1.0)
        self.sparse_scale.fill_(float(progress >= self.dense_first))

    @torch.no_grad()
    def track_(self, s: Step) -> None:
        super().track_(s)
        self.idle.mul_(self.sparse_scale.long())


def mlp(n_in: int, hidden: int, n_out: int, *, bias: bool = True) -> nn.Sequential:
    """Two hidden layers of ReLUs."""
    layers = [nn.Linear(n_in, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, n_out, bias=bias))
