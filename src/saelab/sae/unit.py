"""Rows of norm one, and how they stay so while they are trained."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def normalise_(W: Tensor) -> None:
    """Bring rows back to norm one."""
    W.div_(W.norm(dim=1, keepdim=True).clamp_min_(1e-12))


@torch.no_grad()
def tangent_(W: Tensor) -> None:
    """Remove the part of a unit row's gradient that only changes its norm."""
    if W.grad is not None:
        parallel = torch.einsum("so,so->s", W.grad, W)
        W.grad.addcmul_(parallel[:, None], W, value=-1)
