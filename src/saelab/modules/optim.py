"""Optimiser and learning-rate schedule, the same way for every module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

OptimizerFactory = Callable[..., Optimizer]
Shape = Literal["linear", "cosine"]


def ramp(step: int, total: int, warmup: float, decay: float, shape: Shape = "linear") -> float:
    """A factor in (0, 1]: rises linearly over the first `warmup` of training and falls over its last `decay`.

    `warmup` and `decay` are fractions of the `total` steps; `step` counts from 0. The last step still moves.
    """
    up = min(1.0, (step + 1) / max(1.0, warmup * total))
    left = min(1.0, (total - step) / max(1.0, decay * total))
    down = left if shape == "linear" else 0.5 * (1 - math.cos(math.pi * left))
    return up * max(down, 0.0)


def training_steps(trainer: Any) -> int:
    """Optimiser steps of a whole fit.

    Lightning's `estimated_stepping_batches` would load the data before a checkpoint's place in them is known, and a
    continued epoch would begin again from its first batch.
    """
    batches = len(trainer.datamodule.train_dataloader())
    limit = trainer.overfit_batches or trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
    steps = math.ceil(batches / trainer.accumulate_grad_batches) * epochs if epochs >= 0 else math.inf
    if trainer.max_steps >= 0:
        steps = min(steps, trainer.max_steps)
    if steps == math.inf:
        raise ValueError("A schedule needs a length: set trainer.max_epochs or trainer.max_steps.")
    return int(steps)


class Averages:
    """A schedule-free optimiser evaluates its averaged weights and trains others; all else has but one kind."""

    def __init__(self) -> None:
        self.trained: list[Tensor] = []

    def swap_in(self, optimizer: Any) -> None:
        """Put the averaged weights in place."""
        if hasattr(optimizer, "eval"):
            self.trained = [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
            optimizer.eval()

    @torch.no_grad()
    def swap_out(self, optimizer: Any) -> None:
        """Put the trained weights back to the bit, which the optimiser's own way back misses by rounding."""
        if hasattr(optimizer, "train"):
            optimizer.train()
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for parameter, before in zip(parameters, self.trained, strict=False):
                parameter.copy_(before)
            self.trained = []


def configure(
    parameters: Iterable[nn.Parameter],
    optimizer: OptimizerFactory,
    total: int,
    warmup: float,
    decay: float,
    shape: Shape,
) -> dict[str, Any]:
    """What Lightning's `configure_optimizers` returns: the optimiser, and its schedule stepped after every batch."""
    if not 0 <= warmup <= 1 or not 0 <= decay <= 1:
        raise ValueError(f"lr_warmup={warmup} and lr_decay={decay} are fractions of training: between 0 and 1.")
    built = optimizer(parameters)
    schedule = LambdaLR(built, lambda step: ramp(step, total, warmup, decay, shape))
    return {"optimizer": built, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
