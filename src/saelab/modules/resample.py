"""Resampling: dead latents start again where the reconstruction is worst."""

from __future__ import annotations

from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from saelab.modules.sae import SAEModule
from saelab.sae import SAE

Mode = Literal["loss_weighted", "reinit"]


class Resample(L.Callback):
    """Every `every` steps, latents that have not fired for the SAE's `dead_after` rows get new weights.

    loss_weighted: rows of the batch are drawn with p ∝ ‖y − y_hat‖⁴, the squared loss of a row; a latent's decoder row
        becomes the unit vector along a drawn x − b_dec, its encoder column the same direction at `scale` times the
        mean norm of living columns, its bias 0 (Bricken et al. 2023).
    reinit: a random direction in the place of x − b_dec.

    Adam's moments of those rows are reset, and the learning rate climbs again from nothing over `rewarm` steps. Nothing
    is resampled after `until` of training, so that what is new has time to settle. Only SAEs are resampled: a base
    network that has to be trained first, under the same callbacks, is left alone.

    Args:
        every: optimiser steps between two resamplings.
        mode: where a new latent points.
        scale: length of a new encoder column, relative to those of living latents.
        rewarm: steps over which the learning rate climbs back; 0 leaves it.
        until: fraction of training after which it stops.
    """

    treats = True  # part of what determines a run's numbers

    def __init__(
        self,
        *,
        every: int = 250,
        mode: Mode = "loss_weighted",
        scale: float = 0.2,
        rewarm: int = 50,
        until: float = 0.6,
    ) -> None:
        if every < 1 or rewarm < 0 or scale <= 0:
            raise ValueError(f"every={every} must be positive, rewarm={rewarm} not negative, scale={scale} positive.")
        self.every, self.scale, self.rewarm, self.until = every, scale, rewarm, until
        self.mode: Mode = mode
        self.last = -1  # the step of the last resampling that changed something
        self.resampled = 0

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last, "resampled": self.resampled}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last, self.resampled = state_dict["last"], state_dict["resampled"]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Slow the step down while the learning rate climbs back; the schedule sets it anew after each step."""
        since = trainer.global_step - self.last
        if self.last >= 0 and since < self.rewarm:
            for group in trainer.optimizers[0].param_groups:
                group["lr"] *= (since + 1) / (self.rewarm + 1)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not isinstance(pl_module, SAEModule):
            return
        step = trainer.global_step
        if step % self.every or step == self.last or step > self.until * pl_module.total_steps:
            return
        sae = pl_module.sae
        dead = trainer.strategy.broadcast(sae.dead.nonzero().squeeze(1))
        if len(dead):
            target = batch.y if sae.transcoder else None
            resample_(sae, dead, batch.x, target, mode=self.mode, scale=self.scale)
            reset_moments_(trainer.optimizers[0], sae, dead)
            for parameter in (sae.W_enc, sae.W_dec):  # each process drew its own; the first one's count
                parameter.data = trainer.strategy.broadcast(parameter.data)
            self.last, self.resampled = step, self.resampled + len(dead)
        pl_module.log("train/resampled", float(self.resampled))


@torch.no_grad()
def resample_(
    sae: SAE,
    rows: Tensor,
    x: Tensor,
    y: Tensor | None = None,
    *,
    mode: Mode = "loss_weighted",
    scale: float = 0.2,
) -> None:
    """Give the latents `rows` new weights, drawn from a batch of the user's activations; see `Resample`.

    Raises: ValueError for a variant whose encoder or decoder rows are not parameters of their own.
    """
    if not isinstance(sae.W_dec, torch.nn.Parameter) or sae.W_enc is None or sae.encoder_hidden:
        raise ValueError(f"{type(sae).__name__} has no encoder columns and decoder rows that could be resampled.")
    living = torch.ones(sae.d_sae, dtype=torch.bool, device=rows.device)
    living[rows] = False
    if mode == "loss_weighted":
        s = sae.step(x, y)
        loss = sae.likelihood.residual(s.y_hat, s.y).square().sum(1)
        drawn = torch.multinomial(loss.square() + 1e-30, len(rows), replacement=len(rows) > len(loss))
        encoded = s.x[drawn] if sae.origin is None else s.x[drawn] - sae.origin
        decoded = s.y[drawn] - sae.likelihood.expected(sae.b_dec)
    else:
        encoded = torch.randn(len(rows), sae.d_in).to(sae.W_enc)
        decoded = torch.randn(len(rows), sae.d_out).to(sae.W_dec) if sae.transcoder else encoded
    length = sae.W_enc[:, living].norm(dim=0).mean() if living.any() else sae.W_enc.new_ones(())
    sae.W_enc[:, rows] = (torch.nn.functional.normalize(encoded, dim=1) * length * scale).T
    sae.W_dec[rows] = torch.nn.functional.normalize(decoded, dim=1)
    sae.b_enc[rows] = 0
    sae.idle[rows] = 0


@torch.no_grad()
def reset_moments_(optimizer: Any, sae: SAE, rows: Tensor) -> None:
    """Forget what an optimiser remembers of these latents: zero each per-latent moment."""
    optimizer = getattr(optimizer, "optimizer", optimizer)  # Lightning's wrapper
    state_of = getattr(optimizer, "state_of", lambda p: optimizer.state[p])
    for name, parameter in sae.named_parameters():
        axis = 1 if name == "W_enc" else 0
        if name not in ("W_enc", "W_dec") and parameter.shape != (sae.d_sae,):
            continue
        for value in state_of(parameter).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value.index_fill_(axis, rows, 0)
