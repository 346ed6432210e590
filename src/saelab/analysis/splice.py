"""What a base network loses when a reconstruction takes the place of its activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saelab.metrics import recovered

Edit = Callable[[Tensor, Tensor], Tensor]  # of the rows an SAE reads and of those it gives: what takes their place


class Spliced(NamedTuple):
    """Mean loss and accuracy of the base network: as it is, with the site at zero, and with the reconstruction."""

    loss: tuple[float, float, float]
    acc: tuple[float, float, float]

    def scores(self) -> dict[str, float]:
        """`<m>_recovered` = (m_zero − m_sae) / (m_zero − m_orig) of loss and accuracy, and what it is made of.

        Where ablation changes nothing (a network that is never right) it is undefined, and left out.
        """
        found = {}
        for name, (original, zero, spliced) in {"loss": self.loss, "acc": self.acc}.items():
            if original != zero:
                found[f"{name}_recovered"] = recovered(original, zero, spliced)
            found |= {f"base_{name}": original, f"spliced_{name}": spliced, f"zero_{name}": zero}
        return found


@torch.no_grad()
def splice_scores(
    net: nn.Module,
    batches: Iterable[Any],
    at: Callable[[Edit], AbstractContextManager[Any]],
    reconstruct: Callable[[Tensor], Tensor],
) -> Spliced:
    """Run the network three ways over batches with `.x` and `.y`; `at(edit)` puts an edit at the site.

    Targets are classes `[b]` (cross-entropy, accuracy) or float vectors `[b, c]` (BCE, exact match).
    """
    ways = (nullcontext, lambda: at(lambda x, y: torch.zeros_like(y)), lambda: at(lambda x, y: reconstruct(x)))
    loss, right, rows = [0.0] * 3, [0.0] * 3, 0
    for batch in batches:
        rows += len(batch.y)
        for i, way in enumerate(ways):
            with way():
                logits = net(batch.x)
            loss[i] += _loss(logits, batch.y).item() * len(batch.y)
            right[i] += _right(logits, batch.y).sum().item()
    a, b, c = (value / rows for value in loss)
    d, e, f = (value / rows for value in right)
    return Spliced((a, b, c), (d, e, f))


def _loss(logits: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, y) if y.is_floating_point() else F.cross_entropy(logits, y)


def _right(logits: Tensor, y: Tensor) -> Tensor:
    if y.is_floating_point():
        return ((logits > 0) == (y > 0.5)).all(-1)
    return logits.argmax(-1) == y
