"""Checkpoints that are whole or not there."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place, then rename it: a kill leaves the old one or the new one.

    Lightning writes to the system's temporary directory and moves the file, which on another disk is a copy that a kill
    can cut in two. A Ctrl-C waits until the file is written: one that comes inside PyTorch's zip writer could be lost,
    or come out as its "unexpected pos" error.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.tmp")
        with ctrl_c_waits():
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)


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
