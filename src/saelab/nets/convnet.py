"""A small convolutional network."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Per channel count Conv, BatchNorm, ReLU, MaxPool, Dropout2d; then global average pooling and a two-layer head.

    Sites: `features` is `[b, c, h, w]`, 7 x 7 for 28-pixel images; `head.3` the hidden layer of the head.
    Parameters: 28,522 with the defaults and ten classes.
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
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = input_shape[0]
        for size in channels:
            layers.append(nn.Conv2d(width, size, kernel_size, padding=kernel_size // 2, bias=not batchnorm))
            layers += [nn.BatchNorm2d(size)] if batchnorm else []
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
            layers += [nn.Dropout2d(dropout)] if dropout > 0 else []
            width = size
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, head_hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(head_hidden, n_out),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.head(self.features(x))
