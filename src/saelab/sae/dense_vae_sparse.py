"""A variational dense stream beside a sparse dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.kernels import keep_top
from saelab.sae import variational
from saelab.sae.networks import Net, decoder, encoder
from saelab.sae.step import Common, Dense, Step
from saelab.sae.two_stream import TwoStream


class DenseVAESparse(TwoStream):
    """y_hat = MLP(z) + f W_dec + b_dec, with z ~ q(z|x) = N(μ(x'), diag e^{v(x')}), f = act(x' W_enc + b_enc).

    x' = x − b_dec, of logits x − σ(b_dec), for a transcoder x; μ and v are heads of an MLP, v clamped to [−20, 10]. In
    training z is sampled, in evaluation it is μ, so that rows are encoded alike each time (Kingma & Welling 2014 for
    the dense stream).

    loss = ‖y − y_hat‖² + β(t) KL (`kl`) + l1 Σ_i f_i (`sparsity`) + AuxK, means over rows, with
    KL = ½ Σ_z (e^v + μ² − 1 − v) from N(0, 1). The square is not halved, so β = 1 is the evidence bound of a decoder
    with variance ½ in each normalised entry, and 2 σ² that of variance σ². β(t) rises linearly to β over the first
    `kl_warmup` of training, whatever its length, and is β for who never calls `anneal_`.

    With likelihood=bernoulli y_hat are logits, the logits of both streams add up, and β = 1 is the evidence bound.

    For the first `dense_first` of training the sparse codes are zero, no gradient reaches their weights, and no latent
    ages. Where sparse codes explain
    nearly all, dense ones that start beside them are not worth their KL and collapse to the prior: in the quickstart,
    without a head start, EV is 0.9805, TopK's, and the dense stream has none of the variance; with it, 0.983 and 57 %.

    Args:
        z_dim: width of the dense code.
        net: what encoder and decoder of the dense code are: `mlp`, or `conv` for rows that are images of 1 x 28 x 28.
        hidden, layers: width and number of their hidden layers of ReLUs, in `conv` beside two convolutions each.
        select: `topk` keeps each row's k largest positive pre-activations, `shrink` all positive ones: thresholds are
            −b_enc, one a latent.
        k: codes a row may use, for `topk`.
        l1: weight of the codes' sum; `shrink` has nothing else that makes codes sparse.
        beta: β, weight of the KL divergence.
        kl_warmup: fraction of training in which it rises from zero; 0 for none.
        dense_first: fraction of training in which there is the dense stream alone.
        route: see `TwoStream`.
        d_in, and the rest: see `SAE`.
    """

    controller = ("kl_scale", "sparse_scale")
    kl_scale: Tensor
    sparse_scale: Tensor

    def __init__(
        self,
        *,
        z_dim: int = 16,
        net: Net = "mlp",
        hidden: int = 128,
        layers: int = 2,
        select: Literal["topk", "shrink"] = "topk",
        k: int = 32,
        l1: float = 0.0,
        beta: float = 0.02,
        kl_warmup: float = 0.5,
        dense_first: float = 0.2,
        route: Sequence[int] | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(route=route, **common)
        variational.check(z_dim=z_dim, beta=beta, kl_warmup=kl_warmup)
        if select not in ("topk", "shrink"):
            raise ValueError(f"select={select!r} is unknown: topk or shrink.")
        if select == "topk" and not 1 <= k <= self.d_sae:
            raise ValueError(f"k={k} must be between 1 and d_sae={self.d_sae}.")
        if l1 < 0:
            raise ValueError(f"l1={l1} must not be negative.")
        if not 0 <= dense_first <= 1:
            raise ValueError(f"dense_first={dense_first} is a fraction of training: between 0 and 1.")
        self.z_dim, self.select, self.k, self.l1 = z_dim, select, k, l1
        self.beta, self.kl_warmup, self.dense_first = beta, kl_warmup, dense_first
        self.dense_encoder = encoder(net, self.d_in, hidden, 2 * z_dim, layers=layers)
        self.dense_decoder = decoder(net, z_dim, hidden, self.d_out, layers=layers)
        self.register_buffer("kl_scale", torch.ones(()))
        self.register_buffer("sparse_scale", torch.ones(()))  # 0 while the dense stream is alone, then 1

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return keep_top(pre, self.k) if self.select == "topk" else pre.relu()

    def infer(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"], Dense]:
        pre = self.preactivate(x)
        f = self.activate(pre) * self.sparse_scale.to(pre.dtype)
        mean, log_var = variational.posterior(self.dense_encoder, x if self.origin is None else x - self.origin)
        z = variational.sample(mean, log_var) if self.training else mean
        y_dense, y_sparse = self.routed(self.dense_decoder(z), f @ self.W_dec)
        y_dense = y_dense + self.b_dec
        if self.W_skip is not None:
            y_dense = y_dense + x @ self.W_skip
        return pre, f, Dense(z, y_dense, y_sparse, mean, log_var)

    @torch.no_grad()
    def prior(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n o"]:
        """What the dense stream makes of codes drawn from N(0, 1), in the user's space; without sparse codes."""
        y_dense = self.dense_decoder(torch.randn(n, self.z_dim, generator=generator).to(self.b_dec))
        return self.to_user(self.routed(y_dense, y_dense)[0] + self.b_dec)

    def losses(self, s: Step) -> dict[str, Tensor]:
        assert s.dense is not None and s.dense.mean is not None and s.dense.log_var is not None
        kl = variational.divergence(s.dense.mean, s.dense.log_var)
        terms = super().losses(s) | {"kl": self.beta * self.kl_scale * kl}
        return terms | {"sparsity": self.l1 * s.total(s.f)} if self.l1 else terms

    def facts(self) -> dict[str, Tensor]:
        return {"beta": self.beta * self.kl_scale}

    def anneal_(self, progress: float) -> None:
        self.kl_scale.fill_(variational.risen(progress, self.kl_warmup))
        self.sparse_scale.fill_(float(progress >= self.dense_first))

    @torch.no_grad()
    def track_(self, s: Step) -> None:
        super().track_(s)
        self.idle.mul_(self.sparse_scale.long())
