"""The sparse autoencoder that every variant extends."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.sae.auxk import auxk_loss
from saelab.sae.init import geometric_median


class Step(NamedTuple):
    """Everything a loss term may look at; all in normalised space."""

    x: Float[Tensor, "b i"]  # input
    y: Float[Tensor, "b o"]  # target: x itself
    pre: Float[Tensor, "b s"]  # pre-activations
    f: Float[Tensor, "b s"]  # codes
    y_hat: Float[Tensor, "b o"]  # reconstruction of y


class Sizes(TypedDict):
    """The arguments every variant needs."""

    d_in: int
    d_sae: int


class Common(Sizes, total=False):
    """The arguments every variant shares; a variant's constructor ends in `**common: Unpack[Common]`."""

    normalize: Literal["none", "scale"]
    decoder: Literal["unit", "free"]
    b_dec_init: Literal["zeros", "mean", "median"]
    aux_k: int
    aux_coef: float
    reanimate: float
    dead_after: int


class SAE(nn.Module):
    """y_hat = act((x − b_dec) W_enc + b_enc) W_dec + b_dec, on inputs scaled so that E‖x‖² = d.

    x: `[b, d_in]`; codes f: `[b, d_sae]`; W_enc: `[d_in, d_sae]`; W_dec: `[d_sae, d_in]`. `encode`, `decode` and
    `forward` take and give the user's space; `step` and `losses` live in normalised space, so that coefficients carry
    over from layer to layer. Reconstruction is a sum over d, a penalty a sum over latents; both are means over rows.

    A variant overrides `activate` and, if it has terms of its own, `losses`; state changes in `track_` only.
    W_dec starts with random unit rows and W_enc as its transpose (Gao et al. 2024, arXiv 2406.04093, §A.1).

    Args:
        d_in: width of the activations; comes from the store.
        d_sae: number of latents.
        normalize: `scale` divides inputs by one number so that E‖x‖² = d; `none` leaves them.
        decoder: `unit` keeps decoder rows at norm one; `free` does not.
        b_dec_init: the decoder bias starts at `zeros`, at the `mean`, or at the geometric `median` of the data.
        aux_k: how many dead latents AuxK uses to explain what the others miss; 0 turns it off.
        aux_coef: AuxK's weight.
        reanimate: weight of a term that raises the pre-activations of dead latents until they fire again.
        dead_after: a latent that has not fired for so many rows counts as dead for AuxK and reanimation.
    """

    idle: Tensor
    scale: Tensor

    def __init__(
        self,
        *,
        d_in: int,
        d_sae: int,
        normalize: Literal["none", "scale"] = "scale",
        decoder: Literal["unit", "free"] = "unit",
        b_dec_init: Literal["zeros", "mean", "median"] = "median",
        aux_k: int = 0,
        aux_coef: float = 1 / 32,
        reanimate: float = 0.0,
        dead_after: int = 10_000,
    ) -> None:
        super().__init__()
        if d_sae < 1 or d_in < 1:
            raise ValueError(f"d_in={d_in} and d_sae={d_sae} must be positive.")
        if aux_k < 0:
            raise ValueError(f"aux_k={aux_k} must not be negative; 0 turns AuxK off.")
        self.d_in, self.d_sae = d_in, d_sae
        self.normalize, self.decoder, self.b_dec_init = normalize, decoder, b_dec_init
        self.aux_k, self.aux_coef, self.reanimate, self.dead_after = aux_k, aux_coef, reanimate, dead_after
        rows = nn.functional.normalize(torch.randn(d_sae, d_in), dim=1)
        self.W_dec = nn.Parameter(rows)
        self.W_enc = nn.Parameter(rows.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("idle", torch.zeros(d_sae, dtype=torch.long))  # rows since a latent last fired

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """Codes from pre-activations."""
        raise NotImplementedError

    def preactivate(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        """(x − b_dec) W_enc + b_enc, of normalised inputs."""
        return torch.addmm(self.b_enc - self.b_dec @ self.W_enc, x, self.W_enc)

    def reconstruct(self, f: Float[Tensor, "b s"]) -> Float[Tensor, "b o"]:
        """f W_dec + b_dec, in normalised space."""
        return torch.addmm(self.b_dec, f, self.W_dec)

    def encode(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        """Codes of the user's activations."""
        return self.activate(self.preactivate(x * self.scale))

    def decode(self, f: Float[Tensor, "b s"]) -> Float[Tensor, "b o"]:
        """The user's activations from codes."""
        return self.reconstruct(f) / self.scale

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        return self.decode(self.encode(x))

    def step(self, x: Float[Tensor, "b i"]) -> Step:
        """Normalise, encode and decode a batch of the user's activations."""
        x = x * self.scale
        pre = self.preactivate(x)
        f = self.activate(pre)
        return Step(x, x, pre, f, self.reconstruct(f))

    def losses(self, s: Step) -> dict[str, Tensor]:
        """Named terms, already weighted: `recon` = Σ_d (y − y_hat)², mean over rows; `aux` and `reanimate` where on.

        reanimate = −w Σ_{i dead} pre_i, mean over rows. A term named `sparsity` is what a sparsity warm-up scales.
        """
        terms = {"recon": (s.y - s.y_hat).square().sum(-1).mean()}
        if self.aux_k:
            terms["aux"] = self.aux_coef * auxk_loss(s.y - s.y_hat, s.pre, self.W_dec, self.dead, self.aux_k)
        if self.reanimate:
            terms["reanimate"] = -self.reanimate * (s.pre.mean(0) * self.dead).sum()
        return terms

    @property
    def dead(self) -> Tensor:
        """`[s]` bool: latents that have not fired for `dead_after` training rows."""
        return self.idle >= self.dead_after

    @torch.no_grad()
    def track_(self, s: Step) -> None:
        """Update the state that is not learned by gradient; called once per training batch."""
        fired = (s.f != 0).any(0)
        self.idle.add_(len(s.f)).masked_fill_(fired, 0)

    @torch.no_grad()
    def project_(self) -> None:
        """After an optimiser step: bring decoder rows back to norm one."""
        if self.decoder == "unit":
            self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True).clamp_min_(1e-12))

    @torch.no_grad()
    def project_grad_(self) -> None:
        """Before an optimiser step: remove the part of a unit row's gradient that only changes its norm."""
        if self.decoder == "unit" and self.W_dec.grad is not None:
            parallel = (self.W_dec.grad * self.W_dec).sum(1, keepdim=True)
            self.W_dec.grad.addcmul_(parallel, self.W_dec, value=-1)

    @torch.no_grad()
    def init_from_(self, x: Float[Tensor, "n i"]) -> None:
        """Once, before training, from a sample of the user's activations: input scale and decoder bias."""
        if self.normalize == "scale":
            mean_square = x.double().square().sum(1).mean()
            if mean_square == 0:
                raise ValueError("All activations are zero: the site is dead, choose another.")
            self.scale.copy_((self.d_in / mean_square).sqrt())
        x = x * self.scale
        if self.b_dec_init == "mean":
            self.b_dec.copy_(x.mean(0))
        elif self.b_dec_init == "median":
            self.b_dec.copy_(geometric_median(x))
