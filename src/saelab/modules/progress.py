"""The progress bar of training."""

from __future__ import annotations

from time import monotonic
from typing import Any

from lightning.pytorch.callbacks import RichProgressBar

APART = 0.1  # seconds from one drawing to the next
POLLS = 50  # a second, of the thread that draws; the end of a run waits for the last one
SHOWN = ("train/ev", "train/l0", "train/dead")  # curves, where a module has them


class Progress(RichProgressBar):
    """Lightning's progress bar, told of ten steps a second instead of all, with the latest EV, L0 and dead beside it.

    Args:
        leave: whether the bar of an epoch stays when the next one begins.
    """

    def __init__(self, leave: bool = False) -> None:
        super().__init__(refresh_rate=POLLS, leave=leave)
        self.due = 0.0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = monotonic()
        if now >= self.due or trainer.is_last_batch:
            self.due = now + APART
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        told = trainer.callback_metrics
        curves = {name.removeprefix("train/"): float(told[name]) for name in SHOWN if name in told}
        return trainer.progress_bar_metrics | curves
