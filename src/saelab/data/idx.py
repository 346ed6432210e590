"""MNIST's four files: their names, their fingerprints, where they may lie, and how to read them."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# SHA-256 of the unpacked files
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_FOLDERS = ("", "MNIST/raw", "raw")  # the second is torchvision's layout below its root
_UNSIGNED_BYTE = 0x08


def find(directory: Path, name: str) -> Path | None:
    """The file `name` or `name`.gz in one of the places where it is usually kept, or None."""
    places = (directory / folder / f"{name}{suffix}" for folder in _FOLDERS for suffix in ("", ".gz"))
    return next((place for place in places if place.is_file()), None)


def unpack(path: Path | str, packed: bytes) -> bytes:
    """The bytes of the file `path`, gunzipped if its name ends in .gz. Raises ValueError for a damaged archive."""
    if not str(path).endswith(".gz"):
        return packed
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file ({error}); get the file again") from error


def verify(path: Path | str, content: bytes, name: str) -> None:
    """Raises ValueError unless `content` is MNIST's file `name`."""
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise ValueError(
            f"{path} is not MNIST's {name}: SHA-256 {found[:12]}..., expected {SHA256[name][:12]}...; "
            "get the file again"
        )


def read(directory: Path, name: str) -> Tensor:
    """The uint8 array in MNIST's file `name`, found below `directory` and verified."""
    path = find(directory, name)
    if path is None:
        raise ValueError(
            f"{name} (or {name}.gz) is not in {directory}, nor in its MNIST/raw or raw; put it there, "
            "or set origin=download to fetch it, or origin=bundled with dir=null for 5,000 digits"
        )
    content = unpack(path, path.read_bytes())
    verify(path, content, name)
    return parse(content, path)


def parse(content: bytes, path: Path) -> Tensor:
    """An idx file: 0, 0, type, rank, then `rank` sizes as big-endian uint32, then the bytes."""
    rank = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * rank
    if content[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or len(content) < start:
        raise ValueError(f"{path} is no idx file of unsigned bytes")
    shape = np.frombuffer(content, dtype=">u4", count=rank, offset=4).astype(int).tolist()
    if len(content) - start != int(np.prod(shape)):
        raise ValueError(f"{path} should hold {shape} bytes after its header, but has {len(content) - start}")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy())
