"""The sparse autoencoder that every variant extends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.sae.auxk import auxk_loss
from saelab.sae.ghost import ghost_loss
from saelab.sae.init import START_ROWS, geometric_median, unit_rows, upper_quantile
from saelab.sae.norm import Normalizer
from saelab.sae.step import Normalize, Step


class SAE(nn.Module):
    """y_hat = act((x − b_dec) W_enc + b_enc) W_dec + b_dec, in normalised space.

    x: `[b, d_in]`; codes f: `[b, d_sae]`; W_enc: `[d_in, d_sae]`; W_dec: `[d_sae, d_out]`. `encode`, `decode` and
    `forward` take and give the user's space; `step` and `losses` live in normalised space, so that coefficients carry
    over from layer to layer. Reconstruction is a sum over d, a penalty a sum over latents; both are means over rows.

    With `d_out` it is a transcoder: y is another site's row, b_dec lives in y's space, so pre = x W_enc + b_enc, and
    with `skip` y_hat gains x W_skip (Dunefsky et al. 2024, arXiv 2406.11944; Paulo et al. 2025, arXiv 2501.18823).

    A variant overrides `activate` and, if it has terms of its own, `losses`; state changes in `track_` only.
    W_dec starts with random unit rows and W_enc as its transpose (Gao et al. 2024, arXiv 2406.04093, §A.1).

    Args:
        d_in: width of the activations; comes from the store.
        d_sae: number of latents.
        d_out: width of a transcoder's target, also from the store; None for an autoencoder.
        skip: whether a transcoder has a linear path past the codes.
        normalize: `scale` divides inputs by one number so that E‖x‖² = d; see `Normalizer` for the others.
        decoder: `unit` keeps decoder rows at norm one; `free` does not.
        b_dec_init: the decoder bias starts at `zeros`, at the `mean`, or at the geometric `median` of the data.
        start_l0: if not 0, each latent starts by firing on start_l0 / d_sae of the rows: its bias (or its threshold)
            is set to that quantile of its pre-activations. Otherwise a few directions of large variance take all.
        aux_k: how many dead latents AuxK uses to explain what the others miss; 0 turns it off.
        aux_coef: AuxK's weight.
        ghost: weight of ghost gradients; 0 turns them off.
        reanimate: weight of a term that raises the pre-activations of dead latents until they fire again.
        dead_after: a latent that has not fired for so many rows counts as dead for AuxK, ghosts and reanimation.
    """

    controller: tuple[str, ...] = ()  # buffers and parameters that stay float32 whatever the model's dtype
    idle: Tensor
    W_enc: Tensor
    W_dec: Tensor
    b_enc: Tensor

    def __init__(
        self,
        *,
        d_in: int,
        d_sae: int,
        d_out: int | None = None,
        skip: bool = False,
        normalize: Normalize = "scale",
        decoder: Literal["unit", "free"] = "unit",
        b_dec_init: Literal["zeros", "mean", "median"] = "median",
        start_l0: float = 0.0,
        aux_k: int = 0,
        aux_coef: float = 1 / 32,
        ghost: float = 0.0,
        reanimate: float = 0.0,
        dead_after: int = 10_000,
    ) -> None:
        super().__init__()
        self.transcoder, self.d_in, self.d_sae, self.d_out = d_out is not None, d_in, d_sae, d_out or d_in
        if d_sae < 1 or d_in < 1 or self.d_out < 1:
            raise ValueError(f"d_in={d_in}, d_sae={d_sae} and d_out={d_out} must be positive.")
        if skip and not self.transcoder:
            raise ValueError("skip=True would let an autoencoder copy its input; it is for transcoders (store.target).")
        if self.transcoder and normalize == "layer_norm":
            raise ValueError("normalize=layer_norm: a transcoder cannot know the scale of a row it has not seen.")
        if not 0 <= start_l0 <= d_sae:
            raise ValueError(f"start_l0={start_l0} must be between 0 (off) and d_sae={d_sae}.")
        for name, value in {"aux_k": aux_k, "aux_coef": aux_coef, "ghost": ghost, "reanimate": reanimate}.items():
            if value < 0:
                raise ValueError(f"{name}={value} must not be negative; 0 turns it off.")
        self.decoder, self.b_dec_init, self.start_l0 = decoder, b_dec_init, start_l0
        self.aux_k, self.aux_coef, self.ghost = aux_k, aux_coef, ghost
        self.reanimate, self.dead_after = reanimate, dead_after
        self.norm = Normalizer(normalize, d_in)
        self.norm_target = Normalizer(normalize, self.d_out) if self.transcoder else None
        self.build_decoder()
        self.build_encoder()
        self.b_dec = nn.Parameter(torch.zeros(self.d_out))
        self.W_skip = nn.Parameter(torch.zeros(d_in, self.d_out)) if skip else None
        self.register_buffer("idle", torch.zeros(d_sae, dtype=torch.long))  # rows since a latent last fired

    def build_decoder(self) -> None:
        """Make W_dec: random unit rows."""
        self.W_dec = nn.Parameter(unit_rows(self.d_sae, self.d_out))

    def build_encoder(self) -> None:
        """Make W_enc, the decoder's transpose where the spaces are one, and b_enc."""
        atoms = unit_rows(self.d_sae, self.d_in) if self.transcoder else self.W_dec.detach()
        self.W_enc = nn.Parameter(atoms.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(self.d_sae))

    def preactivate(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        """(x − b_dec) W_enc + b_enc of normalised inputs; without b_dec in a transcoder."""
        bias = self.b_enc if self.transcoder else self.b_enc - self.b_dec @ self.W_enc
        return torch.addmm(bias, x, self.W_enc)

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """Codes from pre-activations."""
        raise NotImplementedError

    def latents(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
        """Pre-activations and codes of normalised inputs; what a variant with an inference of its own overrides."""
        pre = self.preactivate(x)
        return pre, self.activate(pre)

    def reconstruct(self, f: Float[Tensor, "b s"], x: Float[Tensor, "b i"] | None = None) -> Float[Tensor, "b o"]:
        """f W_dec + b_dec (+ x W_skip), in normalised space."""
        y_hat = torch.addmm(self.b_dec, f, self.W_dec)
        if self.W_skip is None:
            return y_hat
        if x is None:
            raise ValueError("skip=True: a part of the output comes from the rows; give them too: decode(f, x).")
        return y_hat + x @ self.W_skip

    def encode(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        """Codes of the user's activations."""
        return self.latents(self.norm(x))[1]

    def decode(self, f: Float[Tensor, "b s"], x: Float[Tensor, "b i"] | None = None) -> Float[Tensor, "b o"]:
        """The user's activations from codes.

        Raises: ValueError without the rows `x` where codes do not hold all (`skip`, `layer_norm`, a dense stream).
        """
        return self.norm_out.inverse(self.reconstruct(f, None if x is None else self.norm(x)), x)

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        return self.decode(self.encode(x), x)

    def step(self, x: Float[Tensor, "b i"], y: Float[Tensor, "b o"] | None = None) -> Step:
        """Normalise, encode and decode a batch of the user's activations; `y` is a transcoder's target."""
        x = self.norm(x)
        pre, f = self.latents(x)
        return Step(x, x if y is None else self.norm_out(y), pre, f, self.reconstruct(f, x))

    def losses(self, s: Step) -> dict[str, Tensor]:
        """Named terms, already weighted; their sum is the loss.

        recon = Σ_d (y − y_hat)², mean over rows; `aux`, `ghost` and `reanimate` = −w Σ_{i dead} pre_i, mean over rows,
        where they are on. A term named `sparsity` is what a sparsity warm-up scales.
        """
        residual = s.y - s.y_hat
        return {"recon": residual.square().sum(-1).mean()} | self.revival(s, residual)

    def revival(self, s: Step, residual: Float[Tensor, "b o"]) -> dict[str, Tensor]:
        """The terms through which dead latents learn."""
        terms = {}
        if self.aux_k:
            terms["aux"] = self.aux_coef * auxk_loss(residual, s.pre, self.W_dec, self.dead, self.aux_k)
        if self.ghost:
            terms["ghost"] = self.ghost * ghost_loss(residual, s.pre, self.W_dec, self.dead)
        if self.reanimate:
            terms["reanimate"] = -self.reanimate * (s.pre.mean(0) * self.dead).sum()
        return terms

    @property
    def norm_out(self) -> Normalizer:
        """The normalisation of what is reconstructed: the input's own, unless another site is the target."""
        return self.norm if self.norm_target is None else self.norm_target

    @property
    def trained(self) -> bool:
        """Whether gradient descent has anything to do; controls are complete once they have seen data."""
        return any(p.requires_grad for p in self.parameters())

    @property
    def dead(self) -> Tensor:
        """`[s]` bool: latents that have not fired for `dead_after` training rows."""
        return self.idle >= self.dead_after

    def facts(self) -> dict[str, Tensor]:
        """Numbers of the variant's own that a user would watch: a threshold, a multiplier."""
        return {}

    def anneal_(self, progress: float) -> None:
        """Called before each training step with the part of training that is done, 0 to 1; for annealed settings."""

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
    def init_from_(self, x: Float[Tensor, "n i"], y: Float[Tensor, "n o"] | None = None) -> None:
        """Once, before training, from a sample of the user's activations: normalisation, biases, thresholds."""
        self.norm.fit_(x)
        x = self.norm(x)
        if y is not None:
            self.norm_out.fit_(y)
            self.b_enc.copy_(-x.mean(0) @ self.W_enc)
        self.center_(x if y is None else self.norm_out(y))
        if self.start_l0:
            pre = self.preactivate(x[:START_ROWS])
            self.start_(upper_quantile(pre, self.start_l0 / self.d_sae))

    def center_(self, y: Float[Tensor, "n o"]) -> None:
        """Start the decoder bias at the centre of normalised targets."""
        if self.b_dec_init == "mean":
            self.b_dec.copy_(y.mean(0))
        elif self.b_dec_init == "median":
            self.b_dec.copy_(geometric_median(y))

    def start_(self, level: Float[Tensor, " s"]) -> None:
        """Make `level` the pre-activation at which each latent fires: here, by its bias."""
        self.b_enc.sub_(level)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SAE:
        """Moves and casts of the module; the state of a controller is moved, never rounded (in bf16 an EMA sticks)."""
        kept: dict[str, Any] = {name: getattr(self, name).data for name in self.controller}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            now = getattr(self, name)
            if now.dtype != before.dtype:
                now.data = before.to(now.device)
        return self
