"""Tags that fill the picture with noise."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.images import SIDE
from saelab.data.tags import RolledTagSource


class NoiseTags(RolledTagSource):
    """Ten arbitrary classes of fixed white-noise pictures: the sparse, symbol-like part of a picture.

        uniform:  pixel ~ U[0, 1)
        normal:   pixel = clip(0.5 + 0.2 z, 0, 1),  z ~ N(0, 1)

    Augmentation (in [0, 1]): cyclic shift by dx, dy ~ U{-shift_max .. shift_max}, the identity included, so that
    training shows the pictures the test splits consist of; then pixels + N(0, gaussian_std^2), clamped to [0, 1].

    Shapes: x `[b, 1, 28, 28]`; family `tag`, classes 0-9; y `[b, 10]` or `[b]`. Splits and items: see `TagSource`.
    Errors: ValueError for images_per_class < 1, shift_max < 0, gaussian_std < 0, an unknown distribution or target, and
    classes that are not distinct digits.
    """

    kind = "noise_tags"

    def __init__(
        self,
        *,
        images_per_class: int = 200,
        classes: list[int] | None = None,
        distribution: Literal["uniform", "normal"] = "uniform",
        augment: bool = True,
        augment_eval: bool = False,
        shift_max: int = 27,
        gaussian_std: float = 0.0,
        target: Literal["int", "onehot"] = "onehot",
        normalize: bool = True,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            images_per_class=images_per_class,
            classes=classes,
            augment=augment,
            augment_eval=augment_eval,
            gaussian_std=gaussian_std,
            target=target,
            normalize=normalize,
            seed=seed,
            device=device,
        )
        checks.one_of("distribution", distribution, ("uniform", "normal"))
        checks.at_least("shift_max", shift_max, 0)
        self.distribution = distribution
        self.shift_max = shift_max

    def draw(self, stream: int, digit: Tensor, j: Tensor) -> Tensor:
        h = rng.bits(stream, digit, j, torch.arange(SIDE * SIDE)).view(-1, SIDE, SIDE)
        if self.distribution == "uniform":
            return rng.uniform(h)
        return rng.normal(h).mul_(0.2).add_(0.5).clamp_(0.0, 1.0)
