"""Which items of its components make up an item of a sum."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import rng

Draw = Literal["once", "replacement"]


def pair(stream: int, length: int, n: int, draw: Draw, epoch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For the sum's items 0..length-1 in an epoch: which item of a component of `n`, and in which epoch of its own.

    once: the component is gone through in a random order, again and again, each time in a fresh one: item i is number
    i mod n of pass i // n, and each pass is an epoch of the component's own. So within a pass nothing comes twice, and
    over `length` items no two items' counts differ by more than one. replacement: each is drawn uniformly and
    independently, in an epoch of its own. Either way an item that comes back has been augmented anew.

    Returns ids and epochs, `[length]` int64.
    """
    item = torch.arange(length, device=device)
    if draw == "replacement":
        return rng.integers(rng.bits(stream, epoch, item), 0, n), epoch * length + item
    passes = -(-length // n)
    ids = rng.permutation(stream, n, epoch, torch.arange(passes, device=device)[:, None])
    return ids.view(-1)[:length], epoch * passes + item // n
