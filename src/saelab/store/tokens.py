"""From an activation to rows, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Tokens = Literal["all", "cls", "patches", "mean", "last"] | Sequence[int]


class Rows(NamedTuple):
    """Rows of an activation, item by item.

    x: `[b * per_item, d]`. position: `[b * per_item]` int64, token, patch or pixel; -1 for a whole item.
    """

    x: Tensor
    position: Tensor
    per_item: int


def rows(activation: Tensor, tokens: Tokens = "all") -> Rows:
    """Rows of an activation.

    `[b, d]`: its rows, whatever `tokens` says.
    `[b, t, d]`: `all` tokens; `cls` the first; `patches` all but the first; `last`; their `mean`; or some positions.
    `[b, c, h, w]`: `all` pixels, row by row, of width c; or their `mean`.
    """
    if activation.ndim == 2:
        return Rows(activation, torch.full((len(activation),), -1), 1)
    x = _as_sequence(activation)
    b, t, d = x.shape
    if tokens == "mean":
        return Rows(x.mean(1), torch.full((b,), -1), 1)
    at = _positions(tokens, t, image=activation.ndim == 4)
    chosen = x if len(at) == t else x[:, at.to(x.device)]
    return Rows(chosen.reshape(b * len(at), d), at.repeat(b), len(at))


def unrows(x: Tensor, activation: Tensor, tokens: Tokens = "all") -> Tensor:
    """The activation with its rows replaced by `x`, so that `rows(unrows(x, a, t), t).x` is x.

    For `mean` every token moves by the difference, which makes x the new mean.
    """
    old = _as_sequence(activation)
    b, t, d = old.shape
    if activation.ndim == 2:
        return x.reshape(activation.shape).to(activation.dtype)
    if tokens == "mean":
        new = old + (x.to(old.dtype) - old.mean(1))[:, None]
    else:
        at = _positions(tokens, t, image=activation.ndim == 4).to(old.device)
        new = old.clone()
        new[:, at] = x.reshape(b, len(at), d).to(old.dtype)
    return new if activation.ndim == 3 else new.transpose(1, 2).reshape(activation.shape)


def _as_sequence(activation: Tensor) -> Tensor:
    """`[b, d]`, `[b, t, d]` or `[b, c, h, w]` as `[b, t, d]`."""
    if activation.ndim == 2:
        return activation[:, None]
    if activation.ndim == 3:
        return activation
    if activation.ndim == 4:
        return activation.flatten(2).transpose(1, 2)
    raise ValueError(f"an activation of shape {[*activation.shape]} has no rows; [b,d], [b,t,d], [b,c,h,w] have")


def _positions(tokens: Tokens, t: int, *, image: bool) -> Tensor:
    if image and tokens != "all":
        raise ValueError(f"tokens={tokens!r} means nothing for an image activation; use 'all' or 'mean'")
    if not isinstance(tokens, str):
        at = [p + t if p < 0 else p for p in tokens]
        if not at or not all(0 <= p < t for p in at) or len(set(at)) < len(at):
            raise ValueError(f"tokens={[*tokens]} must be distinct positions of a sequence of {t}")
        return torch.tensor(at)
    every = torch.arange(t)
    named = {"all": every, "cls": every[:1], "patches": every[1:], "last": every[-1:]}
    if tokens not in named:
        raise ValueError(f"tokens={tokens!r}; use all, cls, patches, mean, last, or a list of positions")
    if not len(named[tokens]):
        raise ValueError(f"tokens={tokens!r} of a sequence of {t} leaves no row")
    return named[tokens]
