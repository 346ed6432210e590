"""A variational autoencoder: a dense code alone."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.kernels import Support
from saelab.sae import variational
from saelab.sae.base import SAE
from saelab.sae.networks import Net, decoder, encoder
from saelab.sae.step import Common, Dense, Step


class VAE(SAE):
    """y_hat = D(z) + b_dec, with z ~ q(z|x) = N(μ(x'), diag e^{v(x')}) (Kingma & Welling 2014); f = μ, a dense code.

    x' = x − b_dec, of logits x − σ(b_dec), for a transcoder x. D is a network, μ and v are heads of another, v clamped
    to [−20, 10]. In training z is sampled, in evaluation it is μ. It is what models with a sparse stream are held
    against: all of its codes are used in every row, so L0 is their number, and no latent is ever dead or treated.

        loss = ‖y − y_hat‖² + β(t) KL (`kl`), means over rows,    KL = ½ Σ_z (e^v + μ² − 1 − v) from N(0, 1)

    β = 1 is the evidence bound with likelihood=bernoulli; the square is not halved, so for a Gaussian of variance σ² it
    is β = 2 σ². β(t) rises linearly to β over the first `kl_warmup` of training, whatever its length, and is β for who
    never calls `anneal_`.

    There is no W_enc. W_dec `[z_dim, d_out]` is computed: row i is D(e_i) − D(0), what one standard deviation of the
    prior along code i adds to the output at the prior's centre.

    Args:
        z_dim: width of the code. d_sae, the size of a dictionary, has no meaning here, so that experiments which set it
            can be run with this model too: it becomes z_dim.
        net: what encoder and decoder are: `mlp`, or `conv` for rows that are images of 1 x 28 x 28.
        hidden, layers: width and number of their hidden layers of ReLUs, in `conv` beside two convolutions each.
        beta: β, weight of the KL divergence.
        kl_warmup: fraction of training in which it rises from zero; 0 for none.
        d_in, and the rest: see `SAE`. decoder must be `free`.

    Errors: ValueError for `skip`, `start_l0`, `encoder_hidden` and other decoders, which are parts that a VAE has not,
    and for `net=conv` on rows that are no such images.
    """

    controller = ("kl_scale",)
    dense_codes = True
    no_layers = "a VAE has layers of its own, `hidden` and `layers`"
    signed = True
    kl_scale: Tensor

    def __init__(
        self,
        *,
        z_dim: int = 16,
        net: Net = "mlp",
        hidden: int = 512,
        layers: int = 2,
        beta: float = 0.02,
        kl_warmup: float = 0.5,
        **common: Unpack[Common],
    ) -> None:
        variational.check(z_dim=z_dim, beta=beta, kl_warmup=kl_warmup)
        common.setdefault("decoder", "free")
        common["d_sae"] = z_dim
        super().__init__(**common)
        if self.decoder != "free":
            raise ValueError(f"decoder={self.decoder}: a VAE's decoder is a network, without rows; decoder=free.")
        if self.start_l0:
            raise ValueError(f"start_l0={self.start_l0}: all codes of a VAE are used in every row; leave it at 0.")
        if self.W_skip is not None:
            raise ValueError("skip=True: a VAE's code is dense already; skip=false.")
        self.beta, self.kl_warmup = beta, kl_warmup
        self.dense_encoder = encoder(net, self.d_in, hidden, 2 * z_dim, layers=layers)
        self.dense_decoder = decoder(net, z_dim, hidden, self.d_out, layers=layers)
        self.register_buffer("kl_scale", torch.ones(()))

    def build_decoder(self) -> None:
        """None: it is a network, which comes when widths are known to be right."""

    def build_encoder(self) -> None:
        self.register_parameter("W_enc", None)
        self.register_parameter("b_enc", None)

    def posterior(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """μ and v of normalised inputs."""
        return variational.posterior(self.dense_encoder, x if self.origin is None else x - self.origin)

    def latents(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
        mean, _ = self.posterior(x)
        return mean, mean

    def reconstruct(
        self, f: Float[Tensor, ...], x: Float[Tensor, "b i"] | None = None, where: Support | None = None
    ) -> Float[Tensor, "b o"]:
        return self.dense_decoder(f) + self.b_dec

    def step(self, x: Float[Tensor, "b i"], y: Float[Tensor, "b o"] | None = None) -> Step:
        x = self.norm(x)
        mean, log_var = self.posterior(x)
        z = variational.sample(mean, log_var) if self.training else mean
        y_hat = self.reconstruct(z)
        dense = Dense(z, y_hat, torch.zeros_like(y_hat), mean, log_var)
        return Step(x, x if y is None else self.norm_out(y), mean, mean, y_hat, dense)

    def losses(self, s: Step) -> dict[str, Tensor]:
        assert s.dense is not None and s.dense.mean is not None and s.dense.log_var is not None
        kl = variational.divergence(s.dense.mean, s.dense.log_var)
        return super().losses(s) | {"kl": self.beta * self.kl_scale * kl}

    def revival(self, s: Step) -> dict[str, Tensor]:
        """Nothing: dense codes do not die."""
        return {}

    @torch.no_grad()
    def prior(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n o"]:
        """What is made of codes drawn from N(0, 1), in the user's space."""
        return self.decode(torch.randn(n, self.d_sae, generator=generator).to(self.b_dec))

    def facts(self) -> dict[str, Tensor]:
        return {"beta": self.beta * self.kl_scale}

    def anneal_(self, progress: float) -> None:
        self.kl_scale.fill_(variational.risen(progress, self.kl_warmup))

    def __getattr__(self, name: str) -> Any:
        """W_dec, which is computed and no parameter; all else as in any module."""
        if name == "W_dec":
            codes = torch.eye(self.d_sae, device=self.b_dec.device, dtype=self.b_dec.dtype)
            return self.dense_decoder(codes) - self.dense_decoder(torch.zeros_like(codes[:1]))
        return super().__getattr__(name)
