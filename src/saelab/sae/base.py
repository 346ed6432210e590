"""The sparse autoencoder that every variant extends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from saelab.kernels import Support, decode, encode, encode_all, encode_kept, keep, products_at
from saelab.sae.archetypal import Archetypes, matched_encoder
from saelab.sae.auxk import auxk_loss
from saelab.sae.ghost import ghost_loss
from saelab.sae.init import START_ROWS, geometric_median, unit_rows, upper_quantile
from saelab.sae.likelihood import Kind, Likelihood
from saelab.sae.networks import trunk
from saelab.sae.norm import Normalizer
from saelab.sae.path import MEASURE_EVERY, MEASURED_ROWS, Trial, sparse_on_cpu
from saelab.sae.step import Decoder, Normalize, Step
from saelab.sae.unit import normalise_, tangent_


class SAE(nn.Module):
    """y_hat = act((x − b_dec) W_enc + b_enc) W_dec + b_dec, in normalised space.

    x: `[b, d_in]`; codes f: `[b, d_sae]`; W_enc: `[d_in, d_sae]`; W_dec: `[d_sae, d_out]`. `encode`, `decode` and
    `forward` take and give the user's space; `step` and `losses` live in normalised space, so that coefficients carry
    over from layer to layer. Reconstruction is a sum over d, a penalty a sum over latents; both are means over rows.

    With `d_out` it is a transcoder: y is another site's row, b_dec lives in y's space, so pre = x W_enc + b_enc, and
    with `skip` y_hat gains x W_skip (Dunefsky et al. 2024, arXiv 2406.11944; Paulo et al. 2025, arXiv 2501.18823).

    With `encoder_hidden`, pre = MLP(x − b_dec) W_enc + b_enc, an MLP of so many ReLU layers. With likelihood=bernoulli,
    y_hat are logits and `recon` is the cross-entropy: see `Likelihood`. What users are given is σ(y_hat), b_dec starts
    at the logit of the data's centre, and inputs are centred at σ(b_dec): x − σ(b_dec) is what an empty code leaves
    unexplained, as x − b_dec is for the squared error.

    A variant overrides `activate` and, if it has terms of its own, `losses`; state changes in `track_` only.
    W_dec starts with random unit rows and W_enc as its transpose (Gao et al. 2024, arXiv 2406.04093, §A.1).

    Args:
        d_in: width of the activations; comes from the store.
        d_sae: number of latents.
        d_out: width of a transcoder's target, also from the store; None for an autoencoder.
        skip: whether a transcoder has a linear path past the codes.
        normalize: `scale` divides inputs by one number so that E‖x‖² = d; see `Normalizer` for the others.
        decoder: `unit` keeps decoder rows at norm one; `free` does not; `archetypal` makes unit rows of mixtures of
            data points, see `Archetypes` for `points` and `delta`.
        b_dec_init: the decoder bias starts at `zeros`, at the `mean`, or at the geometric `median` of the data.
        start_l0: if not 0, each latent starts by firing on start_l0 / d_sae of the rows: its bias (or its threshold)
            is set to that quantile of its pre-activations; on all rows from d_sae on. With 0, a few directions of large
            variance take all.
        aux_k: how many dead latents AuxK uses to explain what the others miss; 0 turns it off.
        aux_coef: AuxK's weight.
        ghost: weight of ghost gradients; 0 turns them off.
        reanimate: weight of a term that raises the pre-activations of dead latents until they fire again.
        dead_after: a latent that has not fired for so many rows counts as dead for AuxK, ghosts and reanimation.
        likelihood: of the target: `gaussian`, or `bernoulli` for targets between 0 and 1, with normalize=none.
        pos_weight: how much more an entry that is on counts than one that is off; other than 1 only for such targets.
        encoder_hidden: widths of ReLU layers before W_enc; none: the encoder is linear.
        bf16_encode: on the sparse path, choose the places of codes by a product of factors rounded to bfloat16; the
            pre-activations there are then computed again in full. A place whose pre-activation is within rounding (a
            part in 256) of the boundary may be missed or taken.
    """

    controller: tuple[str, ...] = ()  # buffers and parameters that stay float32 whatever the model's dtype
    signed: bool = False  # whether codes are of either sign, so that AuxK's are too
    no_layers: str = ""  # why a variant takes no layers before its encoder
    summed: bool = False  # whether the loss prices the sum of each latent's codes
    dense_codes: bool = False  # whether codes are a dense stream's: all of them are used, and none is a concept
    idle: Tensor
    density: Tensor
    dense_steps: Tensor
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
        decoder: Decoder = "unit",
        points: int = 512,
        delta: float = 0.1,
        b_dec_init: Literal["zeros", "mean", "median"] = "median",
        start_l0: float = 0.0,
        aux_k: int = 0,
        aux_coef: float = 1 / 32,
        ghost: float = 0.0,
        reanimate: float = 0.0,
        dead_after: int = 10_000,
        likelihood: Kind = "gaussian",
        pos_weight: float = 1.0,
        encoder_hidden: Sequence[int] = (),
        bf16_encode: bool = False,
    ) -> None:
        super().__init__()
        self.transcoder, self.d_in, self.d_sae, self.d_out = d_out is not None, d_in, d_sae, d_out or d_in
        if d_sae < 1 or d_in < 1 or self.d_out < 1:
            raise ValueError(f"d_in={d_in}, d_sae={d_sae} and d_out={d_out} must be positive.")
        if skip and not self.transcoder:
            raise ValueError("skip=True would let an autoencoder copy its input; it is for transcoders (store.target).")
        if self.transcoder and normalize == "layer_norm":
            raise ValueError("normalize=layer_norm: a transcoder cannot know the scale of a row it has not seen.")
        weights = {"aux_k": aux_k, "aux_coef": aux_coef, "ghost": ghost, "reanimate": reanimate, "start_l0": start_l0}
        for name, value in weights.items():
            if value < 0:
                raise ValueError(f"{name}={value} must not be negative; 0 turns it off.")
        self.decoder, self.b_dec_init, self.start_l0 = decoder, b_dec_init, min(start_l0, d_sae)
        self.aux_k, self.aux_coef, self.ghost = aux_k, aux_coef, ghost
        self.reanimate, self.dead_after, self.bf16_encode = reanimate, dead_after, bf16_encode
        self.likelihood, self.encoder_hidden = Likelihood(likelihood, pos_weight), tuple(encoder_hidden)
        if not self.likelihood.plain and normalize != "none":
            asked = f"likelihood={likelihood} with pos_weight={pos_weight}"
            raise ValueError(f"{asked} needs targets between 0 and 1 as they are: set normalize=none, not {normalize}.")
        if self.likelihood.bernoulli and decoder == "archetypal":
            raise ValueError("decoder=archetypal mixes data points, which are no logits: decoder=unit for bernoulli.")
        if self.encoder_hidden and self.no_layers:
            raise ValueError(f"encoder_hidden={[*self.encoder_hidden]}: {self.no_layers}; leave it empty.")
        self.norm = Normalizer(normalize, d_in)
        self.norm_target = Normalizer(normalize, self.d_out) if self.transcoder else None
        self.points, self.delta = points, delta
        self.build_decoder()
        self.build_encoder()
        self.b_dec = nn.Parameter(torch.zeros(self.d_out))
        self.W_skip = nn.Parameter(torch.zeros(d_in, self.d_out)) if skip else None
        self.register_buffer("idle", torch.zeros(d_sae, dtype=torch.long))  # rows since a latent last fired
        # which path a step takes must be the same in a run that continues
        self.register_buffer("density", torch.ones(()))  # what share of the places steps use
        self.register_buffer("dense_steps", torch.zeros((), dtype=torch.long))  # steps on the dense path so far
        self.trial = Trial()  # finds the path on a GPU

    def build_decoder(self) -> None:
        """Make W_dec: random unit rows, or what an archetypal dictionary computes."""
        if self.decoder == "archetypal":
            self.archetypes = Archetypes(self.d_sae, self.d_out, points=self.points, delta=self.delta)
        else:
            self.W_dec = nn.Parameter(unit_rows(self.d_sae, self.d_out))

    def build_encoder(self) -> None:
        """Make W_enc, the decoder's transpose where the spaces are one, b_enc, and layers before them."""
        self.trunk = trunk(self.d_in, self.encoder_hidden) if self.encoder_hidden else None
        width = self.encoder_hidden[-1] if self.trunk else self.d_in
        atoms = unit_rows(self.d_sae, width) if self.trunk or self.transcoder else self.W_dec.detach()
        self.W_enc = nn.Parameter(atoms.clone().T)  # stored by columns, as its gradient is made
        self.b_enc = nn.Parameter(torch.zeros(self.d_sae))

    def preactivate(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        """(x − b_dec) W_enc + b_enc of normalised inputs; without b_dec in a transcoder."""
        if self.trunk is not None:
            return encode_all(self.features(x), self.W_enc, self.b_enc, None)
        return encode_all(x, self.W_enc, self.b_enc, self.origin)

    def features(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b h"]:
        """What W_enc reads where there are layers before it."""
        assert self.trunk is not None
        return self.trunk(x if self.origin is None else x - self.origin)

    @property
    def origin(self) -> Float[Tensor, " i"] | None:
        """What is subtracted from inputs: the output of an empty code; in a transcoder that lives in another space."""
        return None if self.transcoder else self.likelihood.expected(self.b_dec)

    def activate(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """Codes from pre-activations."""
        return keep(pre, self.kept)

    def kept(self, pre: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """The pre-activations that are codes, all of them positive, and zeros; without a gradient.

        A variant overrides this where its gradient passes just where a code is, and `activate` where it does not.
        """
        raise NotImplementedError

    def latents(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"]]:
        """Pre-activations and codes of normalised inputs; what a variant with an inference of its own overrides."""
        pre = self.preactivate(x)
        return pre, self.activate(pre)

    def reconstruct(
        self, f: Float[Tensor, ...], x: Float[Tensor, "b i"] | None = None, where: Support | None = None
    ) -> Float[Tensor, "b o"]:
        """f W_dec + b_dec (+ x W_skip), in normalised space; with `where`, f `[n]` are the codes at these places."""
        y_hat = torch.addmm(self.b_dec, f, self.W_dec) if where is None else decode(f, self.W_dec, where) + self.b_dec
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
        return self.to_user(self.reconstruct(f, None if x is None else self.norm(x)), x)

    def to_user(self, y_hat: Float[Tensor, "b o"], x: Float[Tensor, "b i"] | None = None) -> Float[Tensor, "b o"]:
        """The user's activations from outputs: of logits their σ, of others what undoes the normalisation of rows x."""
        return self.norm_out.inverse(self.likelihood.expected(y_hat), x)

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        return self.decode(self.encode(x), x)

    def step(self, x: Float[Tensor, "b i"], y: Float[Tensor, "b o"] | None = None) -> Step:
        """Normalise, encode and decode a batch of the user's activations; `y` is a transcoder's target."""
        x = self.norm(x)
        target = x if y is None else self.norm_out(y)
        return self.step_on(x, target, sparse=self.sparse and self.few(x, target))

    def step_on(self, x: Float[Tensor, "b i"], target: Float[Tensor, "b o"], *, sparse: bool) -> Step:
        """A step of normalised rows on one path."""
        where = sums = None
        if sparse:
            pre, f, where = self.latents_at(x)
        elif self.sparse and type(self).activate is SAE.activate:
            f, sums = encode_kept(x, self.W_enc, self.b_enc, self.origin, self.kept, summed=self.summed)
            pre = f
        else:
            pre, f = self.latents(x)
        levels, errors = [], []
        for y_hat in self.levels(f, x, where):
            # at once, so that the backward pass takes one level after the other, and holds one gradient
            errors.append(self.likelihood.error(y_hat, target))
            levels.append(y_hat)
        return Step(x, target, pre, f, levels[-1], where=where, levels=tuple(levels), errors=tuple(errors), sums=sums)

    def levels(
        self, f: Float[Tensor, ...], x: Float[Tensor, "b i"], where: Support | None
    ) -> Iterator[Float[Tensor, "b o"]]:
        """The reconstruction; where the first latents must reconstruct alone, one per prefix, the last the whole."""
        yield self.reconstruct(f, x, where)

    @property
    def sparse(self) -> bool:
        """Whether this variant has a sparse path: a support, and the plain encoder."""
        own = type(self)
        plain = own.latents is SAE.latents and own.preactivate is SAE.preactivate and not self.encoder_hidden
        return plain and own.support is not SAE.support

    def few(self, x: Float[Tensor, "b i"], target: Float[Tensor, "b o"]) -> bool:
        """Whether steps use so few places that sparse products are faster, in one precision throughout."""
        if torch.is_autocast_enabled(x.device.type):
            return False
        if x.device.type == "cpu":
            return sparse_on_cpu(self.density.item(), self.d_out, self.d_sae)
        return x.device.type == "cuda" and self.trial(self, x, target)

    def support(self, pre: Float[Tensor, "b s"]) -> tuple[Support, Float[Tensor, " n"]]:
        """The places outside which codes are zero and pass no gradient on, and the pre-activations there.

        A variant that overrides this and `activate_at` takes the sparse path wherever its codes are few.
        """
        raise NotImplementedError

    def activate_at(self, pre: Float[Tensor, " n"], where: Support) -> Float[Tensor, " n"]:
        """What `activate` gives at the places of the support."""
        raise NotImplementedError

    def latents_at(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Support]:
        """The same pre-activations and codes, values and gradients, where codes may be; only the product is dense."""
        with torch.no_grad():
            rows = x if self.origin is None else x - self.origin
            where, pre = self.support(self.roughly(rows))
            if self.bf16_encode:
                pre = products_at(where, rows, self.W_enc.T) + self.b_enc[where.latent]
        pre = encode(pre, rows, self.W_enc, self.b_enc, self.origin, where)
        return pre, self.activate_at(pre, where), where

    def roughly(self, rows: Float[Tensor, "b i"]) -> Float[Tensor, "b s"]:
        """The pre-activations of centred rows, as exact as choosing among them needs."""
        if not self.bf16_encode:
            return torch.addmm(self.b_enc, rows, self.W_enc)
        return torch.addmm(self.b_enc.bfloat16(), rows.bfloat16(), self.W_enc.bfloat16())

    def pre_of(self, s: Step, latents: Int[Tensor, " n"]) -> Float[Tensor, "b n"]:
        """The pre-activations of some latents; computed for these alone, unless the encoder is a variant's own."""
        if not self.sparse:
            return s.pre[:, latents]
        return encode_all(s.x, self.W_enc[:, latents], self.b_enc[latents], self.origin)

    def losses(self, s: Step) -> dict[str, Tensor]:
        """Named terms, already weighted; their sum is the loss.

        recon = Σ_d (y − y_hat)² or a cross-entropy, mean over rows; `aux`, `ghost` and `reanimate` =
        −w Σ_{i dead} pre_i, mean over rows, where they are on. A term named `sparsity` is what a sparsity warm-up
        scales.
        """
        return {"recon": self.error(s)} | self.revival(s)

    def error(self, s: Step) -> Float[Tensor, ""]:
        """The error of y_hat, mean over rows; what a variant that reconstructs on several levels overrides."""
        return s.errors[-1] if s.errors else self.likelihood.error(s.y_hat, s.y)

    def revival(self, s: Step) -> dict[str, Tensor]:
        """The terms through which dead latents learn."""
        terms = {}
        if self.aux_k or self.ghost or self.reanimate:
            dead = self.dead.nonzero().squeeze(1)
            pre, W_dec = self.pre_of(s, dead), self.W_dec[dead]
            if self.aux_k:
                aux = auxk_loss(self.likelihood, s.y_hat, s.y, pre, W_dec, self.aux_k, signed=self.signed)
                terms["aux"] = self.aux_coef * aux
            if self.ghost:
                terms["ghost"] = self.ghost * ghost_loss(self.likelihood.residual(s.y_hat, s.y), pre, W_dec)
            if self.reanimate:
                terms["reanimate"] = -self.reanimate * s.total(pre)
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
        self.idle.add_(len(s.x)).masked_fill_(s.fired(), 0)
        self.measure_(s)

    def measure_(self, s: Step) -> None:
        """Note which share of the places a step uses; on the dense path now and then only, as looking takes time."""
        if s.where is not None:
            self.density.fill_(len(s.where) / (len(s.x) * self.d_sae))
        elif self.sparse and s.x.device.type == "cpu":
            if self.dense_steps % MEASURE_EVERY == 0:
                self.density.fill_(self._share(s.pre))
            self.dense_steps += 1

    def _share(self, pre: Float[Tensor, "b s"]) -> float:
        """Which share of the places are kept, in some rows."""
        some = pre[:MEASURED_ROWS]
        return len(self.support(some)[0]) / some.numel()

    @torch.no_grad()
    def project_(self) -> None:
        """After an optimiser step: bring decoder rows back to norm one, or archetypes to where they may be."""
        if self.decoder == "unit":
            normalise_(self.W_dec)
        elif self.decoder == "archetypal":
            self.archetypes.project_()

    @torch.no_grad()
    def project_grad_(self) -> None:
        """Before an optimiser step: remove the part of a unit row's gradient that only changes its norm."""
        if self.decoder == "unit":
            tangent_(self.W_dec)

    @torch.no_grad()
    def init_from_(self, x: Float[Tensor, "n i"], y: Float[Tensor, "n o"] | None = None) -> None:
        """Once, before training, from a sample of the user's activations: normalisation, biases, thresholds."""
        self.norm.fit_(x)
        x = self.norm(x)
        if y is not None:
            self.norm_out.fit_(y)
            if self.b_enc is not None:
                self.b_enc.copy_(-(x if self.trunk is None else self.features(x)).mean(0) @ self.W_enc)
        target = x if y is None else self.norm_out(y)
        self.likelihood.check(target)
        self.center_(target)
        if self.decoder == "archetypal":
            self.archetypes.fit_(target - self.b_dec)
            if not self.transcoder:
                self.W_enc.copy_(matched_encoder(self.W_dec, target - self.b_dec, self.start_l0 / self.d_sae))
        if self.start_l0:
            pre = self.preactivate(x[:START_ROWS])
            self.start_(upper_quantile(pre, self.start_l0 / self.d_sae))
        if self.sparse and x.device.type == "cpu":
            self.density.fill_(self._share(self.preactivate(x[:MEASURED_ROWS])))

    def center_(self, y: Float[Tensor, "n o"]) -> None:
        """Start the decoder bias at the centre of normalised targets, or at its logit."""
        if self.b_dec_init == "mean":
            self.b_dec.copy_(self.likelihood.output(y.mean(0)))
        elif self.b_dec_init == "median":
            self.b_dec.copy_(self.likelihood.output(geometric_median(y)))

    def start_(self, level: Float[Tensor, " s"]) -> None:
        """Make `level` the pre-activation at which each latent fires: here, by its bias."""
        self.b_enc.sub_(level)

    def __getattr__(self, name: str) -> Any:
        """W_dec of an archetypal dictionary, which is computed and no parameter; all else as in any module."""
        if name == "W_dec" and "archetypes" in self._modules:
            return self.archetypes()
        return super().__getattr__(name)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SAE:
        """Moves and casts of the module; the state of a controller is moved, never rounded (in bf16 an EMA sticks)."""
        kept: dict[str, Any] = {name: getattr(self, name).data for name in self.controller}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            now = getattr(self, name)
            if now.dtype != before.dtype:
                now.data = before.to(now.device)
        return self
