"""Rows per second, and Lightning's share of the time."""

from __future__ import annotations

import time
from typing import Any

import lightning as L


class Throughput(L.Callback):
    """Log `samples_per_s`: rows of all processes per second of training since the last log step.

    Validation, checkpoints and the time between epochs do not count.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.seconds = 0.0
        self.began = 0.0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.began == 0.0:
            self.began = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.rows += len(batch.x) * trainer.world_size
        if trainer.global_step % trainer.log_every_n_steps == 0 or trainer.is_last_batch:
            self._pause()
            if self.seconds > 0 and trainer.global_step % trainer.log_every_n_steps == 0:
                pl_module.log("samples_per_s", self.rows / self.seconds)
                self.rows, self.seconds = 0, 0.0

    def _pause(self) -> None:
        self.seconds += time.perf_counter() - self.began
        self.began = 0.0
