"""Optimiser and learning-rate schedule, the same way for every module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

from torch import nn
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


def configure(
    parameters: Iterable[nn.Parameter],
    optimizer: OptimizerFactory,
    total: int | float,
    warmup: float,
    decay: float,
    shape: Shape,
) -> dict[str, Any]:
    """What Lightning's `configure_optimizers` returns: the optimiser, and its schedule stepped after every batch."""
    if not 0 <= warmup <= 1 or not 0 <= decay <= 1:
        raise ValueError(f"lr_warmup={warmup} and lr_decay={decay} are fractions of training: between 0 and 1.")
    built = optimizer(parameters)
    steps = int(total) if total != float("inf") else 0
    if not steps and (warmup or decay):
        raise ValueError("A schedule needs a length: set trainer.max_epochs or trainer.max_steps.")
    schedule = LambdaLR(built, lambda step: ramp(step, steps, warmup, decay, shape) if steps else 1.0)
    return {"optimizer": built, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
