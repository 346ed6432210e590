"""A user's own tensors: `.npy` files, and tensors in `.safetensors` files, memory-mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from saelab.store.format import map_tensors


def is_file(where: str) -> bool:
    """Whether this names a file, and not a tensor of the array's file; `ValueError` if there is no such file."""
    if Path(where).suffix not in (".npy", ".safetensors"):
        return False
    if not Path(where).is_file():
        raise ValueError(f"{where} does not exist")
    return True


def open_beside(array: Path, where: str) -> Tensor:
    """What belongs to an array: a file of its own, or a tensor of the array's file."""
    return open_tensor(Path(where), None) if is_file(where) else open_tensor(array, where)


def open_column(array: Path, where: str, n: int) -> Tensor:
    """The same with a row for each of the array's n rows."""
    column = open_beside(array, where)
    if column.shape[:1] != (n,):
        raise ValueError(f"{where} has shape {[*column.shape]}, and {array} has {n} rows")
    return column


def open_tensor(file: Path, key: str | None) -> Tensor:
    """A file's tensor, memory-mapped."""
    if not file.is_file():
        raise ValueError(f"{file} does not exist")
    if file.suffix == ".npy":
        if key is not None:
            raise ValueError(f"{file} holds one array, none called {key!r}; drop that name")
        try:
            return torch.from_numpy(np.load(file, mmap_mode="c", allow_pickle=False))
        except (ValueError, EOFError, OSError, TypeError) as error:
            raise ValueError(f"{file} is not a whole .npy file of numbers: {error}") from None
    if file.suffix == ".safetensors":
        tensors = map_tensors(file)
        if key is None and len(tensors) == 1:
            return next(iter(tensors.values()))
        if key not in tensors:
            raise ValueError(f"{file} holds {', '.join(sorted(tensors))}; name one of them (key={key!r})")
        return tensors[key]
    raise ValueError(f"{file} has to be .npy or .safetensors; save it with numpy.save first")
