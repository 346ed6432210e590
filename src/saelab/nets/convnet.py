"""A small convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Per channel count Conv, BatchNorm, ReLU, MaxPool, Dropout2d; then pooling and a two-layer head.

    Sites: `features` is `[b, c, h, w]`, 7 x 7 for 28-pixel images; `head.3` the hidden layer of the head, `head.3:in`
    before its ReLU. Parameters: 28,522 with the defaults and ten classes.

    Args:
        pool: the head sees the `mean` over positions, or with `none` every position of every channel.
    """

    def __init__(
        self,
        *,
        n_out: int,
        input_shape: Sequence[int] = (1, 28, 28),
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 3,
        batchnorm: bool = True,
        dropout: float = 0.1,
        head_hidden: int = 128,
        pool: Literal["mean", "none"] = "mean",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width, height, across = input_shape
        for size in channels:
            layers.append(nn.Conv2d(width, size, kernel_size, padding=kernel_size // 2, bias=not batchnorm))
            layers += [nn.BatchNorm2d(size)] if batchnorm else []
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            layers += [nn.Dropout2d(dropout)] if dropout > 0 else []
            width, height, across = size, height // 2, across // 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1) if pool == "mean" else nn.Identity(),
            nn.Flatten(),
            nn.Linear(width if pool == "mean" else width * height * across, head_hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(head_hidden, n_out),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(x))
