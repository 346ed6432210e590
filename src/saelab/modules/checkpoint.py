"""Checkpoints that are whole or not there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place, then rename it: a kill leaves the old one or the new one.

    Lightning writes to the system's temporary directory and moves the file, which on another disk is a copy that a kill
    can cut in two. A Ctrl-C waits until the file is written: one that comes inside PyTorch's zip writer could be lost,
    or come out as its "unexpected pos" error.

    The best and the last checkpoint of an epoch are often the same: the second one is then a hard link to the first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written: dict[Path, tuple[Path, Any]] = {}  # of each folder the newest checkpoint, and its step

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.tmp")
        with ctrl_c_waits():
            if not self._linked(checkpoint, partial):
                with partial.open("wb") as file:
                    torch.save(checkpoint, file)
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(partial, path)
        self.written[path.parent] = path, checkpoint.get("global_step")

    def _linked(self, checkpoint: dict[str, Any], partial: Path) -> bool:
        """Whether the newest checkpoint of this folder holds the same, and has now a second name."""
        newest, step = self.written.get(partial.parent, (None, None))
        if newest is None or step is None or step != checkpoint.get("global_step") or not newest.exists():
            return False
        if not alike(torch.load(newest, mmap=True, weights_only=True, map_location="cpu"), checkpoint):
            return False
        partial.unlink(missing_ok=True)
        try:
            os.link(newest, partial)
        except OSError:  # a file system without links: written in full
            return False
        return True


def alike(a: Any, b: Any) -> bool:
    """Whether two contents of checkpoints are equal in every entry; what cannot be compared is not."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.cpu(), b.detach().cpu())
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return type(a) is type(b) and not isinstance(a, Tensor) and bool(a == b)


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Hold back SIGINT while the body runs, and send it on afterwards; only the main thread ever receives it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
