"""Memory that each step writes and forgets, kept for the next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Scratch:
    """One tensor, handed out again as long as its shape is asked for.

    Pre-activations of a wide SAE take hundreds of megabytes. An allocator gives memory of that size back to the system
    each time, and every page of it is faulted in again by the next step: a tenth of the encoder's time. Copies and
    pickles of a scratch are empty.
    """

    def __init__(self) -> None:
        self.memory: Tensor | None = None

    def like(self, x: Tensor, *shape: int) -> Tensor:
        """Uninitialised, with the dtype and the device of x."""
        m = self.memory
        if m is None or m.shape != shape or m.dtype != x.dtype or m.device != x.device:
            self.memory = m = torch.empty(shape, dtype=x.dtype, device=x.device)
        return m

    def __deepcopy__(self, memo: dict[int, Any]) -> Scratch:
        return Scratch()

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()
