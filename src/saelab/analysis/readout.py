"""Linear read-outs that are fitted on the rows of one split and scored on those of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from saelab.analysis.leakage import r2

STEPS = 200
UNITS = {
    "acc": "acc",
    "r2": "factor_r2",
}  # of read-outs, in names of metrics, where `dense_r2` is a stream's of a picture


class Readout(NamedTuple):
    """Logits are (x − mean) / scale @ weight + bias."""

    mean: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    weight: Float[Tensor, "d c"]
    bias: Float[Tensor, " c"]

    def logits(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        return (x - self.mean) / self.scale @ self.weight + self.bias


def fit_classes(x: Float[Tensor, "n d"], y: Int[Tensor, " n"], classes: int, *, c: float = 1.0) -> Readout:
    """The multinomial logistic regression of standardised features: the minimum of

        mean_i CE(x_i W + b, y_i) + ‖W‖² / (2 c n)

    scikit-learn's LogisticRegression(C=c) for three classes or more, by L-BFGS. Columns that do not vary are not read.
    """
    mean, scale = x.mean(0), x.std(0, correction=0)
    scale = torch.where(scale > 1e-6 * x.abs().amax(0), scale, torch.inf)
    rows = (x - mean) / scale
    weight, bias = torch.zeros(x.shape[1], classes).requires_grad_(), torch.zeros(classes).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=STEPS, tolerance_grad=1e-6, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(rows @ weight + bias, y) + weight.square().sum() / (2 * c * len(y))
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return Readout(mean, scale, weight.detach(), bias.detach())


def accuracies(codes: Sequence[Tensor], labels: Sequence[Tensor], classes: int, *, c: float = 1.0) -> list[float]:
    """Fitted on the first of several samples, the share of each of the others that is read right.

    A code of no width reads every row as the class that is most frequent in the first.
    """
    (x, *others), (y, *targets) = codes, labels
    if x.shape[1] == 0:
        return [(t == y.bincount().argmax()).double().mean().item() for t in targets]
    readout = fit_classes(x, y, classes, c=c)
    return [
        (readout.logits(code).argmax(1) == t).double().mean().item() for code, t in zip(others, targets, strict=True)
    ]


def factor_r2s(codes: Sequence[Tensor], factors: Sequence[Tensor]) -> list[float]:
    """The same of continuous factors, standardised: R² of a least-squares line."""
    (x, *others), (y, *targets) = codes, factors
    mean, std = y.mean(0), y.std(0).clamp_min(1e-12)
    found = []
    for code, target in zip(others, targets, strict=True):
        fit = torch.arange(len(x) + len(code)) < len(x)
        found.append(r2(torch.cat([x, code]), (torch.cat([y, target]) - mean) / std, fit=fit))
    return found
