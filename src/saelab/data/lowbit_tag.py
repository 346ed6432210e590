"""Tags of a few lit pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.images import SIDE
from saelab.data.tags import RolledTagSource


class LowBitTag(RolledTagSource):
    """Ten arbitrary classes of fixed pictures in which few pixels are lit.

        pixel = m v,   m ~ Bernoulli(p_on),   v ~ U(on_min_brightness, 1)

    About 784 p_on pixels are lit (7.8 at 0.01); on_min_brightness = 1 makes the pictures binary.

    Augmentation (in [0, 1]): cyclic shift by dx, dy ~ U{-shift_max .. shift_max}, the identity included; then
    pixels + N(0, gaussian_std^2), clamped to [0, 1].

    Shapes: x `[b, 1, 28, 28]`; family `tag`, classes 0-9; y `[b, 10]` or `[b]`. Splits and items: see `TagSource`.
    Errors: ValueError for p_on or on_min_brightness outside [0, 1], images_per_class < 1, shift_max < 0,
    gaussian_std < 0, an unknown target, and classes that are not distinct digits.
    """

    kind = "lowbit_tag"

    def __init__(
        self,
        *,
        images_per_class: int = 200,
        classes: list[int] | None = None,
        p_on: float = 0.01,
        on_min_brightness: float = 0.5,
        augment: bool = True,
        augment_eval: bool = False,
        shift_max: int = 2,
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
        checks.within("p_on", p_on, 0, 1)
        checks.within("on_min_brightness", on_min_brightness, 0, 1)
        checks.at_least("shift_max", shift_max, 0)
        self.p_on, self.on_min_brightness = p_on, on_min_brightness
        self.shift_max = shift_max

    def draw(self, stream: int, digit: Tensor, j: Tensor) -> Tensor:
        counters = (digit[..., None], j[..., None], torch.arange(SIDE * SIDE)[:, None], torch.arange(2))
        mask, value = rng.uniform(rng.bits(stream, *counters)).unbind(-1)
        low = self.on_min_brightness
        return ((mask < self.p_on) * (low + (1 - low) * value)).view(-1, SIDE, SIDE)
