"""Training of every SAE variant."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from saelab.modules.ablation import Ablation
from saelab.modules.objective import Objective
from saelab.modules.optim import Averages, OptimizerFactory, Shape, configure, training_steps
from saelab.modules.step_log import StepLog
from saelab.modules.tally import Tally
from saelab.sae import SAE, Step
from saelab.sae.likelihood import cross_entropy


class SAEModule(StepLog):
    """An SAE trained on the rows of a store.

    Logged while training: `train/loss`, every term of `SAE.losses`, and the batch's `ev` and `l0`. Logged over the
    whole validation and test split, with frozen weights: `ev`, `mse`, `l0`, `l1`, `dead`, `norm_min` and `norm_max`
    of the decoder rows. EV compares with the mean of the split itself; all are in the units of the activations. Also
    `loss` and its terms, the objective that training minimised, with the weights that it has there; and of a Bernoulli
    likelihood `bce`, the cross-entropy without weights, a sum over d, mean over rows.

    Args:
        sae: the variant; `d_in` is filled in from the store.
        optimizer: a partial, called with the parameters.
        lr_warmup, lr_decay: fractions of training in which the learning rate rises and falls.
        lr_shape: how it falls.
        sparsity_warmup: fraction of training in which the term named `sparsity` rises from zero to its weight.
        init_rows: how many rows of the training split data-dependent initialisation sees.
        ablation: what is done to a concept for a part of training.
    """

    kind = "sae"
    monitor = ("val/ev", "max")
    density: Tensor

    def __init__(
        self,
        *,
        sae: SAE,
        optimizer: OptimizerFactory,
        lr_warmup: float = 0.05,
        lr_decay: float = 0.2,
        lr_shape: Shape = "linear",
        sparsity_warmup: float = 0.0,
        init_rows: int = 8192,
        ablation: Ablation | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= sparsity_warmup <= 1:
            raise ValueError(f"sparsity_warmup={sparsity_warmup} is a fraction of training: between 0 and 1.")
        self.sae, self.optimizer = sae, optimizer
        self.lr_warmup, self.lr_decay = lr_warmup, lr_decay
        self.lr_shape: Shape = lr_shape
        self.sparsity_warmup, self.init_rows, self.ablation = sparsity_warmup, init_rows, ablation
        if ablation is not None:
            ablation.attach_(sae.d_sae)
        self.tally, self.objective = Tally(d_out=sae.d_out, d_sae=sae.d_sae), Objective()
        # A constant near the mean of the activations, so that variances keep their digits.
        self.register_buffer("centre", torch.zeros(sae.d_out), persistent=False)
        self.averages = Averages()
        self.total_steps = 0  # until training is set up
        self.taken: Step | None = None  # the step whose loss is on its way back
        self.tables: dict[str, dict[str, Tensor]] = {}

    def on_train_start(self) -> None:
        """Initialise from data, once: not when training continues from a checkpoint, which is restored by now."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        self.init_from_(data, fresh=self.global_step == 0)
        if self.ablation is not None:
            self.ablation.fit_(data, self.total_steps, self.device)
        self._averages(swap_in=False)

    def on_validation_model_eval(self) -> None:
        super().on_validation_model_eval()
        self._averages(swap_in=True)

    def on_validation_model_train(self) -> None:
        super().on_validation_model_train()
        self._averages(swap_in=False)

    def on_train_end(self) -> None:
        self._averages(swap_in=True)
        self.sae.project_()

    def _averages(self, *, swap_in: bool) -> None:
        for optimizer in self.trainer.optimizers:
            (self.averages.swap_in if swap_in else self.averages.swap_out)(optimizer)

    def init_from_(self, data: Any, *, fresh: bool = True) -> None:
        """What the first rows of the training split decide; the SAE's part of it only when it is `fresh`."""
        sites = [data.site, data.target_site] if self.sae.transcoder else [data.site]
        rows = [data.store.read("train", site, slice(0, self.init_rows)).to(self.device) for site in sites]
        self.centre = rows[-1].mean(0)
        if fresh:
            self.sae.init_from_(*rows)

    def training_step(self, batch: Any, _: int) -> Tensor:
        step, log_every = self.global_step, self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        self.sae.anneal_(step / self.total_steps)
        ablation = self.ablation if self.ablation is not None and self.ablation.on(step) else None
        if ablation is not None:
            batch = ablation.batch_(self.sae, batch)
        s = self.sae.step(batch.x, batch.y if self.sae.transcoder else None)
        terms = self._warmed(self.sae.losses(s) if ablation is None else ablation.losses(self.sae, s, batch.row))
        loss = torch.stack(list(terms.values())).sum()
        self.taken = s
        if (step + 1) % log_every == 0:
            self._log_batch(s.y, self.sae.likelihood.expected(s.y_hat), s.f, {"loss": loss, **terms})
        return loss

    def on_after_backward(self) -> None:
        """Track what was seen; not before, since a loss may hold the state that this changes."""
        assert self.taken is not None
        self.sae.track_(self.taken)
        self.taken = None

    def _warmed(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Terms as they are minimised now, in training and in evaluation alike."""
        if "sparsity" in terms and self.sparsity_warmup:
            terms["sparsity"] = terms["sparsity"] * self._sparsity_scale()
        return terms

    def _sparsity_scale(self) -> float:
        """How far the sparsity term's weight has risen; whole where there is no training, only a test."""
        if not self.total_steps:
            return 1.0
        return min(1.0, (self.global_step + 1) / (self.sparsity_warmup * self.total_steps))

    @torch.no_grad()
    def _log_batch(self, y: Tensor, y_hat: Tensor, f: Tensor, terms: dict[str, Tensor]) -> None:
        ev = 1 - (y - y_hat).square().sum() / (y - y.mean(0)).square().sum()
        facts = {**terms, "ev": ev, "l0": (f != 0).sum() / len(y), "dead": self.sae.dead.float().mean()}
        facts |= self.sae.facts()
        told = {f"train/{k}": v.detach().float() for k, v in facts.items()}
        self.log_dict(told | {"lr": self.trainer.optimizers[0].param_groups[0]["lr"]})

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.sae.project_grad_()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.sae.project_()

    def validation_step(self, batch: Any, _: int) -> None:
        self._evaluate(batch)

    def on_test_start(self) -> None:
        """Where training was over before the process began, nothing has looked at the data yet."""
        self.init_from_(self.trainer.datamodule, fresh=False)  # type: ignore[attr-defined]

    def test_step(self, batch: Any, _: int) -> None:
        self._evaluate(batch)

    def _evaluate(self, batch: Any) -> None:
        s = self.sae.step(batch.x, batch.y if self.sae.transcoder else None)
        self.tally.update(batch.y, self.sae.to_user(s.y_hat, batch.x), s.f, self.centre, s.where)
        form = self.sae.likelihood
        bce = {"bce": cross_entropy(form.logits(s.y_hat), s.y)} if form.bernoulli else {}
        self.objective.update(self._warmed(self.sae.losses(s)), len(s.x), bce)

    def on_validation_epoch_end(self) -> None:
        self._log_split("val")

    def on_test_epoch_end(self) -> None:
        self._log_split("test")

    def _log_split(self, split: str) -> None:
        values = self.tally.compute()
        density = values.pop("density")
        norms = self.sae.W_dec.norm(dim=1)
        s = self.tally.sums()
        self.tables[split] = {
            "density": density,
            "mean_active": s.activity / s.fired.clamp_min(1),
            "decoder_norm": norms,
        }
        facts = values | self.objective.compute() | {"norm_min": norms.min(), "norm_max": norms.max()}
        told = {f"{split}/{k}": v.float() for k, v in facts.items()}
        if split == "val":
            self.log_dict(told)  # of all processes together, and the same in each
        else:
            self.log_dict(told, sync_dist=True)
        self._log_histogram(split, density)
        self.tally.reset()
        self.objective.reset()

    def _log_histogram(self, split: str, density: Tensor) -> None:
        """log10 of the firing frequencies of living latents, where a logger draws histograms."""
        alive = density[density > 0].log10().float().cpu()
        for logger in cast(list[Any], self.loggers):
            board = getattr(logger.experiment, "add_histogram", None)
            if board is not None and len(alive):
                board(f"{split}/log10_density", alive, self.global_step)

    def configure_optimizers(self) -> Any:
        self.total_steps = total = training_steps(self.trainer)
        return configure(self.sae.parameters(), self.optimizer, total, self.lr_warmup, self.lr_decay, self.lr_shape)
