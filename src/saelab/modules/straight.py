"""A training step without the hooks that nobody uses."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.loops.optimization.automatic import _AutomaticOptimization
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor

from saelab.modules.sae import SAEModule
from saelab.modules.unprofiled import Unprofiled

# Hooks around the parts of a step, which callbacks and other modules may have; `take_step` calls none of them.
OF_CALLBACKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
OF_MODULES = ("on_before_zero_grad", "on_before_backward", "optimizer_zero_grad", "backward", "clip_gradients")
OF_MODULES += ("configure_gradient_clipping",)


def take_step(module: SAEModule, optimizer: Any, trainer: Any, batch: Any, index: int) -> Tensor:
    """What Lightning does with an SAE's module in a step of its own, in its order; returns the loss."""
    loss = module.training_step(batch, index)
    optimizer.zero_grad()
    loss.backward()
    module.on_after_backward()
    module.on_before_optimizer_step(optimizer)
    if trainer.gradient_clip_val:
        algorithm = trainer.gradient_clip_algorithm or GradClipAlgorithmType.NORM
        trainer.precision_plugin.clip_gradients(optimizer, trainer.gradient_clip_val, algorithm)
    optimizer.step()
    module.sae.project_()
    return loss.detach()


class Straight(_AutomaticOptimization):
    """Lightning's optimisation loop, which takes SAEs' steps by `take_step` where that comes to the same.

    Between the parts of a step Lightning asks the strategy, the precision, the module and every callback for what they
    have to add, which took half a millisecond of a step of ten (d = d_sae = 512). Where one of them has something to
    add, or a profiler listens, or gradients are accumulated, steps are Lightning's own.
    """

    plain: bool | None = None

    def run(self, optimizer: Any, batch_idx: int, kwargs: Any) -> dict[str, Any]:
        trainer: Any = self.trainer
        if self.plain is None or batch_idx == 0:
            self.plain = is_plain(trainer, trainer.lightning_module)
        if not self.plain:
            return super().run(optimizer, batch_idx, kwargs)
        module, progress = trainer.lightning_module, self.optim_progress.optimizer
        progress.step.increment_ready()
        progress.zero_grad.increment_ready()
        progress.zero_grad.increment_started()
        module._current_fx_name = "training_step"
        loss = take_step(module, optimizer, trainer, *kwargs.values())
        module._current_fx_name = None
        progress.zero_grad.increment_completed()
        progress.step.increment_completed()
        return {"loss": loss}


def is_plain(trainer: Any, module: Any) -> bool:
    """Whether nothing is asked for between the parts of a step."""
    own, usual = type(module), L.LightningModule
    return (
        isinstance(module, SAEModule)
        and own.optimizer_step is SAEModule.optimizer_step
        and all(getattr(own, hook) is getattr(usual, hook) for hook in OF_MODULES)
        and all(getattr(type(c), hook) is getattr(L.Callback, hook) for c in trainer.callbacks for hook in OF_CALLBACKS)
        and type(trainer.precision_plugin) is Precision
        and type(trainer.strategy) is SingleDeviceStrategy
        and trainer.strategy.model is module
        and trainer.accumulate_grad_batches == 1
        and isinstance(trainer.profiler, Unprofiled)
    )
