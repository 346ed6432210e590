"""Checkpoints are written whole, and a Ctrl-C that comes meanwhile is not lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from saelab.modules import AtomicCheckpointIO


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C as in a terminal; a process that a script started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupting:
    """Its pickling is when the Ctrl-C comes."""

    def __reduce__(self) -> tuple[Any, ...]:
        signal.raise_signal(signal.SIGINT)
        return dict, ()


@pytest.mark.parametrize("name", ["last.ckpt", "señal.ckpt"])
def test_a_checkpoint_is_whole_even_when_ctrl_c_comes_while_it_is_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / name
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"step": 2, "extra": Interrupting()}, path)
    assert [file.name for file in path.parent.iterdir()] == [name]
    assert torch.load(path, weights_only=False)["step"] == 2


def test_no_ctrl_c_is_lost_inside_the_writer(tmp_path: Path) -> None:
    """PyTorch alone loses about half of these, to a RuntimeError or altogether."""
    content = {f"{number}": torch.randn(64, 64) for number in range(60)}
    lost = 0
    for number in range(100):
        kick = threading.Timer(number * 1e-4, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        try:
            kick.start()
            while kick.is_alive():
                AtomicCheckpointIO().save_checkpoint(content, tmp_path / "x.ckpt")
            lost += 1
        except KeyboardInterrupt:
            kick.join()
    assert lost == 0


def test_a_thread_may_write_too(tmp_path: Path) -> None:
    thread = threading.Thread(target=AtomicCheckpointIO().save_checkpoint, args=({"x": 1}, tmp_path / "x.ckpt"))
    thread.start()
    thread.join()
    assert torch.load(tmp_path / "x.ckpt") == {"x": 1}
