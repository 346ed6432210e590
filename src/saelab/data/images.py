"""What every source of pictures has in common: pixels in [0, 1] with labels, made into batches."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks
from saelab.data.source import Batch, Family, Source

MEAN, STD = 0.1307, 0.3081  # of the pixels of MNIST's training images
SIDE = 28
DIGITS = tuple(str(digit) for digit in range(10))

Epoch = int | Tensor  # one epoch for the batch, or `[b]` int64 with one for each item


class ImageSource(Source):
    """Grey pictures `[b, 1, h, w]`, made in [0, 1] and normalised last: x = (pixels - 0.1307) / 0.3081.

    A subclass writes `size` and `pixels` and has one label family, `family`.
    """

    family: str

    def __init__(self, *, normalize: bool, seed: int, device: str) -> None:
        super().__init__()
        self.normalize = normalize
        self.seed = seed
        self.device = checks.usable_device(device)
        self.input_shape = (1, SIDE, SIDE)

    def pixels(self, split: str, index: Tensor, epoch: Epoch = 0) -> tuple[Tensor, Tensor]:
        """Pictures `[b, 1, h, w]` in [0, 1] and their labels (`[b]` classes or `[b, f]` factors).

        index: `[b]` int64 on the source's device, not checked.
        """
        raise NotImplementedError

    def target(self, labels: Tensor) -> Tensor:
        """The training target for the labels."""
        raise NotImplementedError

    def batch(self, split: str, index: Tensor, epoch: int = 0) -> Batch:
        self.check_index(split, index)
        index = index.to(self.device)
        pixels, labels = self.pixels(split, index, epoch)
        x = normalize_(pixels) if self.normalize else pixels
        return Batch(x, self.target(labels), index, {self.family: labels}, {})


class DigitSource(ImageSource):
    """Pictures of the ten digit classes. The target is an integer `[b]`, or one-hot `[b, 10]` float32.

    One-hot targets are ten wide even where a source shows a few of the classes only.
    """

    n_out = 10

    def __init__(self, *, target: Literal["int", "onehot"], normalize: bool, seed: int, device: str) -> None:
        super().__init__(normalize=normalize, seed=seed, device=device)
        checks.one_of("target", target, ("int", "onehot"))
        self.target_kind = target
        self.families = {self.family: Family(classes=DIGITS)}

    def target(self, labels: Tensor) -> Tensor:
        return labels if self.target_kind == "int" else one_hot(labels, len(DIGITS))


def one_hot(labels: Tensor, width: int) -> Tensor:
    """`[b]` classes -> `[b, width]` float32."""
    return torch.nn.functional.one_hot(labels, width).to(torch.float32)


def normalize_(pixels: Tensor) -> Tensor:
    """(pixels - MEAN) / STD, in place and in one pass over the memory."""
    return torch.add(pixels.new_full((), -MEAN / STD), pixels, alpha=1 / STD, out=pixels)


def denormalize(x: Tensor) -> Tensor:
    """The pixels that `normalize_` made `x` from."""
    return x * STD + MEAN
