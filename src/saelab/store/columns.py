"""What activations and labels are turned into before they are stored."""

from __future__ import annotations

import torch
from torch import Tensor


def cast_rows(x: Tensor, dtype: torch.dtype, *, name: str) -> Tensor:
    """Rows on the CPU in the store's dtype; a `ValueError` names the site if a value is not finite there."""
    stored = x.to(dtype)
    # one NaN or infinity makes the sum so too; looking at each value costs ten times as much
    if not stored.sum(dtype=torch.float32).isfinite() and not stored.isfinite().all():
        if not torch.isfinite(x).all():
            raise ValueError(f"{name} holds NaN or infinite activations; nothing can be learned from them")
        limit = f"{torch.finfo(dtype).max:.0f}" if dtype == torch.float16 else f"{torch.finfo(dtype).max:.3g}"
        raise ValueError(
            f"{name} holds {x.abs().max().item():.6g}, beyond the {limit} of {str(dtype).removeprefix('torch.')};"
            " store it with dtype=bfloat16 or dtype=float32"
        )
    return stored.cpu()


def label_column(label: Tensor) -> Tensor:
    """A label family as it is stored: integers `[n]` as int64, anything else as float32 `[n, f]`."""
    if label.ndim not in (1, 2):
        raise ValueError(f"labels have shape {[*label.shape]}; a family is [n] classes or [n, f] factors")
    if label.ndim == 1 and not label.is_floating_point():
        return label.cpu().long()
    return label.cpu().float().reshape(len(label), -1)
