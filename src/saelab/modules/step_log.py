"""What training steps and the validations between them log, told to every logger in one go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

OF_A_STEP = ("training_step", "on_train_batch_end")  # hooks, of the module and of callbacks
OF_A_SPLIT = "on_validation_epoch_end"
OF_EVERY_STEP = ("_current_fx_name", "began", "taken")  # attributes


class StepLog(L.LightningModule):
    """A module that logs what any module does while it is trained, at a tenth of the price.

    `log(name, value)` and `log_dict(values)` in `training_step` and after a batch come to what they come to in
    Lightning: at every log step all loggers are told the latest value of each name of the epoch, in float32, and
    callbacks may monitor it. So do those of a whole validation split, which must be the same in every process.
    Lightning makes a metric of every name, moves it, and asks it after every batch, which takes half a millisecond a
    name; here all names are one tensor, which is read once. Anything else, and whatever is logged with options, goes
    Lightning's way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, Tensor] = {}
        self.began = 0  # the step that this batch belongs to

    def __setattr__(self, name: str, value: Any) -> None:
        """As in any module; but what changes in every step is no parameter, and need not be asked whether it is."""
        if name in OF_EVERY_STEP:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        if args or options or not self._in_a_fit():
            super().log(name, value, *args, **options)
        else:
            self._tell({name: value})

    def log_dict(self, dictionary: Any, *args: Any, **options: Any) -> None:
        if args or options or not self._in_a_fit():
            super().log_dict(dictionary, *args, **options)
        elif dictionary:
            self._tell(dictionary)

    def _in_a_fit(self) -> bool:
        if self._fabric is not None:
            return False
        hook = self._current_fx_name
        return hook in OF_A_STEP or (hook == OF_A_SPLIT and self.trainer.state.fn == "fit")

    def _tell(self, values: Mapping[str, Tensor | float]) -> None:
        """Keep values as they are now: a threshold will have moved when they are read."""
        each = [torch.as_tensor(v, dtype=torch.float32, device=self.device).detach() for v in values.values()]
        new = dict(zip(values, torch.stack(each).unbind(), strict=True))
        if self._current_fx_name != OF_A_SPLIT:
            self.told |= new
        elif self.trainer.sanity_checking:
            return
        else:
            self._pass_on(new)
        self.trainer.callback_metrics.update(new)

    def _pass_on(self, told: Mapping[str, Tensor]) -> None:
        trainer: Any = self.trainer
        values = dict(zip(told, torch.stack(list(told.values())).tolist(), strict=True))
        trainer.logged_metrics.update(told)
        for logger in trainer.loggers:
            step = trainer.fit_loop.epoch_loop._batches_that_stepped
            logger.log_metrics(values | {"epoch": trainer.current_epoch}, step=step)
            logger.save()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.began = self.global_step

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """At the end of a log step, after callbacks have added theirs."""
        step, every = self.global_step, self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.told and step != self.began and step % every == 0:
            self._pass_on(self.told)

    def on_train_epoch_end(self) -> None:
        self.told = {}
