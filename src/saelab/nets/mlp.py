"""A multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class MLP(nn.Module):
    """Flatten, then per hidden size Linear, activation, Dropout; then a Linear head.

    Sites are the children of `net`: without dropout `net.0` is the first Linear, `net.1` its activation, and so on;
    the last child gives the logits. Parameters: 269,322 with the defaults; 798,474 with [512, 512, 256].
    """

    def __init__(
        self,
        *,
        n_out: int,
        input_shape: Sequence[int] = (1, 28, 28),
        hidden_sizes: Sequence[int] = (256, 256),
        dropout: float = 0.1,
        activation: Literal["relu", "gelu", "tanh"] = "gelu",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}: choose one of {', '.join(ACTIVATIONS)}.")
        layers: list[nn.Module] = []
        width = math.prod(input_shape)
        for size in hidden_sizes:
            layers += [nn.Linear(width, size), ACTIVATIONS[activation]()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            width = size
        self.net = nn.Sequential(*layers, nn.Linear(width, n_out))

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b c"]:
        return self.net(x.flatten(1))
