"""Tags: classes that are nothing but sets of fixed random pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, rng
from saelab.data.augment import add_noise_, random_shift, roll_tiled, tile
from saelab.data.images import DigitSource, Epoch

_CHUNK = 1024  # pictures made at a time, which bounds the memory that random bits take


class TagSource(DigitSource):
    """A class is a digit; item i is picture j = i mod m of class i // m, m = `images_per_class`.

    Splits: `train`, `val` and `test` show the same pictures, because an arbitrary class can only be learnt by heart;
    `test_unseen` has as many pictures that no other split shows. Only `train` is augmented, unless `augment_eval`; an
    augmented evaluation split is augmented once and for ever.

    A picture depends on (kind of tag, seed, digit, j) alone, so a subset of the classes has the same pictures, and two
    kinds of tags with one seed have nothing in common. Pictures are made once, on the CPU, and kept on the device.
    """

    family = "tag"
    splits = ("train", "val", "test", "test_unseen")
    kind: str

    def __init__(
        self,
        *,
        images_per_class: int,
        classes: Sequence[int] | None,
        augment: bool,
        augment_eval: bool,
        gaussian_std: float,
        target: Literal["int", "onehot"],
        normalize: bool,
        seed: int,
        device: str,
    ) -> None:
        super().__init__(target=target, normalize=normalize, seed=seed, device=device)
        checks.at_least("images_per_class", images_per_class, 1)
        checks.at_least("gaussian_std", gaussian_std, 0)
        self.images_per_class = images_per_class
        self.classes = checks.digit_subset("classes", classes)
        self.augment, self.augment_eval, self.gaussian_std = augment, augment_eval, gaussian_std
        self._digits = torch.tensor(self.classes, device=self.device)
        self._banks: dict[bool, Tensor] = {}

    def draw(self, stream: int, digit: Tensor, j: Tensor) -> Tensor:
        """Pictures in [0, 1], `[n, h, w]`, of classes `digit` `[n, 1]` with numbers `j` `[n, 1]`."""
        raise NotImplementedError

    def moved(self, bank: Tensor, index: Tensor, item: Tensor) -> Tensor:
        """Pictures `index` of the bank, moved at random: `[b, 28, 28]`; `item` `[b]` holds random bits for each."""
        raise NotImplementedError

    def still(self, pictures: Tensor) -> Tensor:
        """Pictures as they lie in the bank, unmoved: `[b, 28, 28]`."""
        return pictures

    def keep(self, pictures: Tensor) -> Tensor:
        """All base pictures as the bank holds them, ready to be moved."""
        return pictures

    def size(self, split: str) -> int:
        self.check_split(split)
        return len(self.classes) * self.images_per_class

    def setup(self, stage: str | None = None) -> None:
        self._bank(unseen=False)

    def pixels(self, split: str, index: Tensor, epoch: Epoch = 0) -> tuple[Tensor, Tensor]:
        bank = self._bank(unseen=split == "test_unseen")
        labels = self._digits[index.div(self.images_per_class, rounding_mode="floor")]
        if not self.augment or not (split == "train" or self.augment_eval):
            return self.still(bank.index_select(0, index))[:, None], labels
        item = rng.bits(rng.key(self.kind, "augment", self.seed, split), epoch if split == "train" else 0, index)
        pictures = self.moved(bank, index, item)
        if self.gaussian_std > 0:
            add_noise_(pictures, self.gaussian_std, item)
        return pictures[:, None], labels

    def base_pictures(self, unseen: bool = False) -> Tensor:
        """All pictures before augmentation, uncropped, in item order: `[n, h, w]` in [0, 1], on the CPU."""
        stream = rng.key(self.kind, "unseen" if unseen else "seen", self.seed)
        index = torch.arange(self.size("train"))[:, None]
        digit = torch.tensor(self.classes)[index // self.images_per_class]
        j = index % self.images_per_class
        chunks = zip(digit.split(_CHUNK), j.split(_CHUNK), strict=True)
        return torch.cat([self.draw(stream, *chunk) for chunk in chunks])

    def _bank(self, unseen: bool) -> Tensor:
        if unseen not in self._banks:
            self._banks[unseen] = self.keep(self.base_pictures(unseen)).to(self.device)
        return self._banks[unseen]


class RolledTagSource(TagSource):
    """Tags that are moved by a cyclic shift of dx columns and dy rows, each uniform on {-shift_max .. shift_max}."""

    shift_max: int

    def keep(self, pictures: Tensor) -> Tensor:
        return tile(pictures)

    def still(self, pictures: Tensor) -> Tensor:
        return pictures[:, :, : pictures.shape[2] // 2].contiguous()

    def moved(self, bank: Tensor, index: Tensor, item: Tensor) -> Tensor:
        if self.shift_max == 0:
            return self.still(bank.index_select(0, index))
        return roll_tiled(bank, *random_shift(item, self.shift_max), index)
