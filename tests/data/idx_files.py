"""Small files in MNIST's format, and the fingerprints that go with them."""

import gzip
import hashlib
import struct
from pathlib import Path

import torch

from saelab.data import idx


def packed_idx(array: torch.Tensor) -> bytes:
    sizes = struct.pack(f">{array.dim()}I", *array.shape)
    return bytes([0, 0, 8, array.dim()]) + sizes + array.to(torch.uint8).numpy().tobytes()


def small_mnist() -> dict[str, torch.Tensor]:
    """60 training and 20 test digits; digit i is filled with the number i."""

    def images(n):
        return torch.arange(n)[:, None, None].expand(n, 28, 28)

    return {
        "train-images-idx3-ubyte": images(60),
        "train-labels-idx1-ubyte": torch.arange(60) % 10,
        "t10k-images-idx3-ubyte": images(20),
        "t10k-labels-idx1-ubyte": torch.arange(20) % 10,
    }


def write(folder: Path, *, gz: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in small_mnist().items():
        content = packed_idx(array)
        (folder / (name + ".gz" * gz)).write_bytes(gzip.compress(content) if gz else content)


def accept_small_files(monkeypatch) -> None:
    for name, array in small_mnist().items():
        monkeypatch.setitem(idx.SHA256, name, hashlib.sha256(packed_idx(array)).hexdigest())
