"""What streams are held against: the picture itself, chance, principal axes, the best line, and the truth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from saelab.analysis.separation import STREAMS, Pair, centred, principal_axes

FLOOR = 0.01  # of an entry's variance: the least noise that the line reckons with
Rows = Float[Tensor, "n d"]


def mixture(x: Rows) -> Pair:
    """The picture as an estimate of either."""
    return Pair(x, x)


def chance(x: Rows, train: Float[Tensor, "m d"], *, seed: int = 0) -> Pair:
    """The principal axes of the training rows dealt at random, half to each stream: all is kept, and nothing told."""
    axes = principal_axes(train, train.shape[1]).to(x)
    dealt = torch.randperm(axes.shape[1], generator=torch.Generator().manual_seed(seed)) < axes.shape[1] // 2
    rows = x - train.mean(0)
    dense = rows @ axes[:, dealt] @ axes[:, dealt].T
    return Pair(dense, rows - dense)


def pca(x: Rows, train: Float[Tensor, "m d"], k: int) -> Pair:
    """The k largest principal axes of the training rows as the dense stream, what they leave as the sparse one."""
    axes = principal_axes(train, k).to(x)
    rows = x - train.mean(0)
    dense = rows @ axes @ axes.T
    return Pair(dense, rows - dense)


def linear(
    x: Rows, train: Float[Tensor, "m d"], components: Mapping[str, Float[Tensor, "m d"]], assigned: Mapping[str, str]
) -> Pair:
    """The best linear maps of x to the components, learned with the truth of the training rows.

        ĉ = (x − x̄) (Σ_x + FLOOR v I)⁻¹ Σ_xc,   v the mean variance of an entry of x

    components: of the training rows. assigned: which one each stream is for; one left over is in neither.
    """
    rows, t = centred(train.double()), x.double() - train.double().mean(0)
    gram = rows.T @ rows
    gram.diagonal().add_(FLOOR * gram.diagonal().mean())
    solved = torch.linalg.solve(gram, rows.T)
    return Pair(*((t @ (solved @ centred(components[assigned[s]].double()))).to(x) for s in STREAMS))


def ideal(x: Rows, components: Mapping[str, Rows], assigned: Mapping[str, str]) -> Pair:
    """The truth: of all streams that add up to x, those with the least Σ_k ‖c_k − e_k‖².

        e_k = c_k − (Σ c − x) / K

    Each of the K components bears an equal part of what was clipped; where nothing was, e_k is c_k but for a constant.
    """
    lost = (torch.stack([*components.values()]).sum(0) - x) / len(components)
    return Pair(*(components[assigned[s]] - lost for s in STREAMS))
