"""Layers that are not a dictionary: before a linear encoder, and of a variational code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from torch import nn

from saelab.sae.step import UNKNOWN

Net = Literal["mlp", "conv"]
SIDE, PIXELS = 28, 784  # of the one image that `conv` takes
CHANNELS, SMALL = (32, 64), 7  # of its two layers, and the side of what the second gives


def trunk(d_in: int, widths: Sequence[int]) -> nn.Sequential:
    """ReLU layers of these widths; weights start so that rows keep their mean square (He et al. 2015).

    Raises: ValueError for a width below 1.
    """
    if any(width < 1 for width in widths):
        raise ValueError(f"encoder_hidden={[*widths]}: widths must be positive; an empty list for a linear encoder.")
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([d_in, *widths]):
        linear = nn.Linear(n_in, n_out)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers)


def mlp(n_in: int, hidden: int, n_out: int, *, layers: int, bias: bool = True) -> nn.Sequential:
    """So many hidden layers of ReLUs, then a linear one."""
    widths = [n_in, *[hidden] * layers]
    inner = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*inner, nn.Linear(widths[-1], n_out, bias=bias))


def encoder(net: Net, d_in: int, hidden: int, n_out: int, *, layers: int) -> nn.Sequential:
    """Rows `[b, d_in]` to `[b, n_out]`: an `mlp`; or `conv`, two strided convolutions and then an MLP."""
    check_net(net, d_in, hidden, layers)
    if net == "mlp":
        return mlp(d_in, hidden, n_out, layers=layers)
    image = nn.Unflatten(1, (1, SIDE, SIDE))
    first, second = (nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise([1, *CHANNELS]))
    head = mlp(CHANNELS[1] * SMALL**2, hidden, n_out, layers=layers)
    return nn.Sequential(image, first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), *head)


def decoder(net: Net, n_in: int, hidden: int, d_out: int, *, layers: int) -> nn.Sequential:
    """Codes `[b, n_in]` to rows `[b, d_out]`, the mirror of `encoder`; without a last bias, which is b_dec."""
    check_net(net, d_out, hidden, layers)
    if net == "mlp":
        return mlp(n_in, hidden, d_out, layers=layers, bias=False)
    head = mlp(n_in, hidden, CHANNELS[1] * SMALL**2, layers=layers)
    image = nn.Unflatten(1, (CHANNELS[1], SMALL, SMALL))
    first = nn.ConvTranspose2d(CHANNELS[1], CHANNELS[0], 4, stride=2, padding=1)
    second = nn.ConvTranspose2d(CHANNELS[0], 1, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(*head, nn.ReLU(), image, first, nn.ReLU(), second, nn.Flatten())


def check_net(net: Net, width: int, hidden: int, layers: int) -> None:
    """Raises: ValueError for a net that is unknown, has no layers, or is not for rows of this width."""
    if net not in get_args(Net):
        raise ValueError(f"net={net!r} is unknown: mlp or conv.")
    if hidden < 1 or layers < 1:
        raise ValueError(f"hidden={hidden} and layers={layers} must be positive.")
    if net == "conv" and width not in (UNKNOWN, PIXELS):
        raise ValueError(f"net=conv is for images of 1 x 28 x 28 = 784 pixels, and rows are {width} wide; net=mlp.")
