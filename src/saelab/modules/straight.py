"""Training without the hooks that nobody uses."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor

from saelab.modules.sae import SAEModule
from saelab.modules.unprofiled import Unprofiled

# What callbacks, modules and data may do around a batch and within its step; `Straight` calls none of it.
OF_CALLBACKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
OF_DATA = ("on_before_batch_transfer", "on_after_batch_transfer")
OF_MODULES = ("on_before_zero_grad", "on_before_backward", "optimizer_zero_grad", "backward", "clip_gradients")
OF_MODULES += ("configure_gradient_clipping", "lr_scheduler_step", "transfer_batch_to_device", *OF_DATA)
EVERY_STEP = ("step", 1, False)  # interval, frequency and plateau of a learning rate's schedule
OURS = ("training_step", "optimizer_step", "on_train_batch_start")  # a subclass may have its own


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


class Straight(_TrainingEpochLoop):
    """Lightning's loop over the batches of an epoch, which takes SAEs' steps by `take_step` where that is the same.

    Around a batch and between the parts of its step Lightning asks the strategy, the precision, the module, the data
    and every callback for what they have to add, which takes 0.8 of a step's 10 ms (d = d_sae = 512). Where one of them
    has something to add, or a profiler listens, or gradients are accumulated, everything is Lightning's own.
    """

    can_be_plain = False
    plain = False  # this batch
    validates_within = True  # an epoch, not only after it
    starting: tuple[Any, ...] = ()  # callbacks that look at a batch before its step
    ending: tuple[Any, ...] = ()  # and after it

    def advance(self, data_fetcher: Any) -> None:
        """One batch: its step, its learning rate, and the hooks of those that have some."""
        trainer: Any = self.trainer
        if self.batch_idx < 0 or self.restarting:
            self.can_be_plain = is_plain(trainer)
            by_epoch = trainer.check_val_every_n_epoch is not None
            self.validates_within = not by_epoch or trainer.val_check_batch != trainer.num_training_batches
            self.starting = having("on_train_batch_start", trainer.callbacks)
            self.ending = having("on_train_batch_end", trainer.callbacks)
        self.plain = self.can_be_plain and not self.restarting
        if not self.plain:
            super().advance(data_fetcher)
            return
        module, done = trainer.lightning_module, self.automatic_optimization.optim_progress.optimizer
        self.val_loop.restarting = False
        batch, index = next(data_fetcher)[0], self.batch_idx + 1
        self.batch_progress.is_last_batch = data_fetcher.done
        batch = trainer.datamodule.transfer_batch_to_device(batch, trainer.strategy.root_device, 0)
        self.batch_progress.increment_ready()
        trainer._logger_connector.on_batch_start(batch)
        module._current_fx_name = "on_train_batch_start"
        for callback in self.starting:
            callback.on_train_batch_start(trainer, module, batch, index)
        module.on_train_batch_start(batch, index)
        self.batch_progress.increment_started()
        module._current_fx_name = "training_step"
        for progress in (done.step, done.zero_grad):
            progress.increment_ready()
        done.zero_grad.increment_started()
        loss = take_step(module, trainer.optimizers[0], trainer, batch, index)
        for progress in (done.zero_grad, done.step):
            progress.increment_completed()
        self.batch_progress.increment_processed()
        for config in trainer.lr_scheduler_configs:
            self.scheduler_progress.increment_ready()
            config.scheduler.step()
            self.scheduler_progress.increment_completed()
        module._current_fx_name = "on_train_batch_end"
        for callback in self.ending:
            callback.on_train_batch_end(trainer, module, {"loss": loss}, batch, index)
        module.on_train_batch_end({"loss": loss}, batch, index)
        module._current_fx_name = None
        if self._results:  # what was logged in a way that is not StepLog's
            trainer._logger_connector.on_batch_end()
        self._results.batch = self._results.batch_size = None
        self.batch_progress.increment_completed()
        if self._results:
            trainer._logger_connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: Any) -> None:
        """What Lightning does between two batches, unless there is nothing to decide."""
        stop = self.trainer.should_stop or self.trainer.received_sigterm
        if not self.plain or self.validates_within or self.batch_progress.is_last_batch or stop:
            super().on_advance_end(data_fetcher)
        else:
            self._batches_that_stepped += 1

    def update_lr_schedulers(self, interval: str, update_plateau_schedulers: bool) -> None:
        """Nothing where `advance` has done it; Lightning asks again after every batch."""
        if not self.plain:
            super().update_lr_schedulers(interval, update_plateau_schedulers)


def having(hook: str, callbacks: list[Any]) -> tuple[Any, ...]:
    """The callbacks that have a hook."""
    return tuple(c for c in callbacks if getattr(type(c), hook) is not getattr(L.Callback, hook))


def is_plain(trainer: Any) -> bool:
    """Whether nothing is asked for around a batch and within its step but what `Straight` does."""
    module, data = trainer.lightning_module, trainer.datamodule
    own, usual, datas = type(module), L.LightningModule, L.LightningDataModule
    return (
        isinstance(module, SAEModule)
        and isinstance(data, datas)
        and all(getattr(own, hook) is getattr(SAEModule, hook) for hook in OURS)
        and all(getattr(own, hook) is getattr(usual, hook) for hook in OF_MODULES)
        and all(getattr(type(data), hook) is getattr(datas, hook) for hook in OF_DATA)
        and not any(having(hook, trainer.callbacks) for hook in OF_CALLBACKS)
        and type(trainer.precision_plugin) is Precision
        and type(trainer.strategy) is SingleDeviceStrategy
        and trainer.strategy.model is module
        and trainer.accumulate_grad_batches == 1
        and all((c.interval, c.frequency, c.reduce_on_plateau) == EVERY_STEP for c in trainer.lr_scheduler_configs)
        and isinstance(trainer.profiler, Unprofiled)
    )
