"""The k-th largest of many numbers, and a level a little below it, without sorting them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

SAMPLE = 65_536  # entries that place the level
WHOLE = 2**22  # entries that are looked at one by one; of more, those above a level


def level(flat: Float[Tensor, " n"], count: int) -> Float[Tensor, ""]:
    """A level >= 0 that a few more than `count` entries are expected to exceed, from evenly spaced entries."""
    stride = max(1, len(flat) // SAMPLE) | 1  # odd, so that it does not fall in step with the columns
    sample = flat[::stride]
    wanted = count * len(sample) / len(flat)
    kept = min(len(sample), int(wanted + 4 * wanted**0.5) + 8)
    return sample.kthvalue(len(sample) - kept + 1).values.clamp_min(0)


def kth_largest(flat: Float[Tensor, " n"], count: int) -> Float[Tensor, ""]:
    """The `count`-th largest entry."""
    if on_cpu(flat):
        return torch.from_numpy(np.partition(flat.numpy(), len(flat) - count)[len(flat) - count, None]).squeeze(0)
    return flat.kthvalue(len(flat) - count + 1).values


def kth_largest_of_batch(flat: Float[Tensor, " n"], count: int) -> Float[Tensor, ""]:
    """The `count`-th largest entry, or 0 if that is not above it; of many entries only a few are looked at."""
    if len(flat) > WHOLE:
        above = flat[flat > level(flat, count)]
        flat = above if len(above) >= count else flat[flat > 0]
    return kth_largest(flat, count).clamp_min(0) if len(flat) >= count else flat.new_zeros(())


def kth_largest_of_rows(x: Float[Tensor, "b n"], k: int) -> Float[Tensor, "b 1"]:
    """Each row's k-th largest entry."""
    if on_cpu(x):
        return torch.from_numpy(np.partition(x.numpy(), x.shape[1] - k, axis=1)[:, x.shape[1] - k, None])
    return x.kthvalue(x.shape[1] - k + 1, dim=1, keepdim=True).values


def on_cpu(x: Tensor) -> bool:
    """Whether NumPy can look at it: its partition is vectorised, several times as fast as PyTorch's selections."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
