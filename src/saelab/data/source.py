"""What every source of labelled inputs has in common."""

from __future__ import annotations

from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from saelab.data.batches import Batches


class Batch(NamedTuple):
    """A batch of labelled inputs.

    x: what the network sees, `[b, ...]` float32.
    y: the training target: `[b]` int64 for cross-entropy, or `[b, c]` float32 (one-hot, multi-hot) for BCE.
    index: `[b]` int64, the items' numbers in their split.
    labels: per label family (`digit`, `tag`, ...) `[b]` int64 classes, or `[b, f]` float32 factors.
    parts: what a sum was made of: `<component>` images in [0, 1] and `<component>_id` item numbers, or the `sparse`
        and `dense` codes of a toy; else empty.
    """

    x: Tensor
    y: Tensor
    index: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]  (tuple.index is of no use here)
    labels: dict[str, Tensor]
    parts: dict[str, Tensor]


class Family(NamedTuple):
    """A label family: `classes` names for class labels, or `factors` names for continuous ones."""

    classes: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()


class Source(L.LightningDataModule):
    """Labelled inputs, addressable by (split, index, epoch).

    A subclass sets `input_shape`, `splits`, `families`, `n_out` and writes `size` and `batch`. `batch` is a pure
    function of (seed, split, index, epoch): the same item whatever the batch size, the order, or the device. Only
    `train` changes from epoch to epoch; every other split is the same for ever. Vectors that are sums of known
    directions have these in `dictionary`, and their codes in the part `sparse`; what is dense in them is the part
    `dense` @ `dense_basis`.

    How items are batched is no part of what they are: the command sets `batch_size`, the rows of one batch over all
    ranks. `loader` serves any split, so a split of the source's own (`test_unseen`) is one call away.
    """

    vectors: bool = False  # items are vectors `[d]`, which need no network before an SAE
    input_shape: tuple[int, ...]
    splits: tuple[str, ...] = ("train", "val", "test")
    families: dict[str, Family]
    n_out: int  # the width a classifier's output must have for `y`
    batch_size: int = 256
    seed: int
    device: torch.device
    dictionary: Tensor | None = None  # [n_features, d]
    dense_basis: Tensor | None = None  # [k, d], orthonormal rows

    def size(self, split: str) -> int:
        """Number of items in a split."""
        raise NotImplementedError

    def batch(self, split: str, index: Tensor, epoch: int = 0) -> Batch:
        """The items `index` (`[b]` int64) of a split in an epoch."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Make ready to serve; a second call costs nothing."""

    def loader(self, split: str, *, shuffle: bool = False) -> Batches:
        """Batches of a split, in the order of its items or shuffled by (seed, epoch)."""
        self.check_split(split)
        return Batches(self, split, batch_size=self.batch_size, shuffle=shuffle)

    def train_dataloader(self) -> Batches:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> Batches:
        return self.loader("val")

    def test_dataloader(self) -> Batches:
        return self.loader("test")

    def check_split(self, split: str) -> None:
        if split not in self.splits:
            raise ValueError(f"split={split!r} is unknown to {type(self).__name__}; it has {', '.join(self.splits)}")

    def check_index(self, split: str, index: Tensor) -> None:
        """Raises IndexError unless every item number is in the split."""
        self.check_split(split)
        if not index.numel():
            return
        low, high = (int(bound) for bound in index.aminmax())
        if low < 0 or high >= self.size(split):
            bad = low if low < 0 else high
            raise IndexError(f"item {bad} is not in {split!r}, whose items are 0 to {self.size(split) - 1}")
