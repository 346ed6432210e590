"""What a base network loses when a reconstruction takes the place of its activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saelab.metrics import recovered

Edit = Callable[[Tensor, Tensor], Tensor]  # of the rows an SAE reads and of those it gives: what takes their place
Way = Callable[[], AbstractContextManager[Any]]  # how the network is run
Scores = tuple[float, float]  # mean loss, accuracy


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


def splice_scores(
    net: nn.Module,
    batches: Iterable[Any],
    at: Callable[[Edit], AbstractContextManager[Any]],
    reconstruct: Callable[[Tensor], Tensor],
    *,
    without: Sequence[Scores] | None = None,
) -> Spliced:
    """Run the network three ways over batches with `.x` and `.y`; `at(edit)` puts an edit at the site.

    Targets are classes `[b]` (cross-entropy, accuracy) or float vectors `[b, c]` (BCE, exact match). `without` is what
    `scores_without` has found for this network, site and batches: then the network is run one way only.
    """
    ways = [] if without is not None else _ways_without(at)
    found = _scores(net, batches, [*ways, lambda: at(lambda x, y: reconstruct(x))])
    original, zero, spliced = [*(without or []), *found]
    return Spliced((original[0], zero[0], spliced[0]), (original[1], zero[1], spliced[1]))


def scores_without(
    net: nn.Module, batches: Iterable[Any], at: Callable[[Edit], AbstractContextManager[Any]]
) -> list[Scores]:
    """The part that no SAE has a say in: the network as it is, and with the site at zero."""
    return _scores(net, batches, _ways_without(at))


def _ways_without(at: Callable[[Edit], AbstractContextManager[Any]]) -> list[Way]:
    return [nullcontext, lambda: at(lambda x, y: torch.zeros_like(y))]


@torch.no_grad()
def _scores(net: nn.Module, batches: Iterable[Any], ways: Sequence[Way]) -> list[Scores]:
    loss, right, rows = [0.0] * len(ways), [0.0] * len(ways), 0
    for batch in batches:
        rows += len(batch.y)
        for i, way in enumerate(ways):
            with way():
                logits = net(batch.x)
            loss[i] += _loss(logits, batch.y).item() * len(batch.y)
            right[i] += _right(logits, batch.y).sum().item()
    return [(a / rows, b / rows) for a, b in zip(loss, right, strict=True)]


def _loss(logits: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, y) if y.is_floating_point() else F.cross_entropy(logits, y)


def _right(logits: Tensor, y: Tensor) -> Tensor:
    if y.is_floating_point():
        return ((logits > 0) == (y > 0.5)).all(-1)
    return logits.argmax(-1) == y
