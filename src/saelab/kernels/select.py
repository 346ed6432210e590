"""Which places the sparse path keeps: the k largest of each row, the largest of a batch, those above a threshold."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from saelab.kernels.order import kth_largest, level
from saelab.kernels.support import Support


def top(pre: Float[Tensor, "b s"], k: int) -> tuple[Support, Float[Tensor, " n"]]:
    """The k largest entries of each row, in no order, and where they are."""
    values, latent = pre.topk(k, dim=1, sorted=False)
    return Support.of_rows(latent, pre.shape[1]), values.reshape(-1)


def above(pre: Float[Tensor, "b s"], threshold: Float[Tensor, "*s"] | float) -> tuple[Support, Float[Tensor, " n"]]:
    """The entries above a threshold, one for all or one for each latent."""
    place = (pre > threshold).view(-1).nonzero().squeeze(1)
    return Support.of_places(place, *pre.shape), pre.view(-1)[place]


def batch_top(pre: Float[Tensor, "b s"], count: int) -> tuple[Support, Float[Tensor, " n"]]:
    """The `count` largest positive entries of the whole matrix, or all positive ones where there are fewer.

    Nothing of size b · s is sorted: a sample places a level that a little more than `count` entries exceed, and the
    choice is made, exactly, among these. Among equal entries at the boundary those that come first are kept.
    """
    flat = pre.reshape(-1)
    place = (flat > level(flat, count)).nonzero().squeeze(1)
    if len(place) < count:
        place = (flat > 0).nonzero().squeeze(1)
    if len(place) > count:
        values = flat[place]
        kth = kth_largest(values, count)
        over, ties = values > kth, (values == kth).nonzero().squeeze(1)
        over[ties[: count - int(over.sum())]] = True
        place = place[over]
    return Support.of_places(place, *pre.shape), flat[place]
