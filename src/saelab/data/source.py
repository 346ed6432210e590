"""What every source of labelled inputs has in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import lightning as L
import torch
from torch import Tensor


class Batch(NamedTuple):
    """A batch of labelled inputs.

    x: what the network sees, `[b, ...]` float32.
    y: the training target: `[b]` int64 for cross-entropy, or `[b, c]` float32 (one-hot, multi-hot) for BCE.
    index: `[b]` int64, the items' numbers in their split.
    labels: per label family (`digit`, `tag`, ...) `[b]` int64 classes, or `[b, f]` float32 factors.
    parts: what a sum was made of: `<component>` images in [0, 1] and `<component>_id` item numbers; else empty.
    """

    x: Tensor
    y: Tensor
    index: Tensor
    labels: dict[str, Tensor]
    parts: dict[str, Tensor]


class Family(NamedTuple):
    """A label family: `classes` names for class labels, or `factors` names for continuous ones."""

    classes: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()


class Source(L.LightningDataModule):
    """Labelled inputs, addressable by (split, index, epoch).

    A subclass sets `input_shape`, `splits`, `families`, `n_out` and writes `size` and `batch`. `batch` is a pure
    function of (seed, split, index, epoch): the same item whatever the batch size, the order, or the device.
    How items are batched is no part of what they are: the command sets `batch_size`.
    """

    input_shape: tuple[int, ...]
    splits: tuple[str, ...] = ("train", "val", "test")
    families: dict[str, Family]
    n_out: int  # the width a classifier's output must have for `y`
    batch_size: int = 256
    seed: int
    device: torch.device

    def size(self, split: str) -> int:
        """Number of items in a split."""
        raise NotImplementedError

    def batch(self, split: str, index: Tensor, epoch: int = 0) -> Batch:
        """The items `index` (`[b]` int64) of a split in an epoch."""
        raise NotImplementedError
