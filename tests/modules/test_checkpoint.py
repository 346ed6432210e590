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
from saelab.modules.checkpoint import alike


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


def content(step: int, value: float = 0.0) -> dict[str, Any]:
    weights = torch.arange(6.0).view(2, 3) + value
    return {"global_step": step, "state_dict": {"w": weights}, "optimizer_states": [{"m": [weights, 1.5]}]}


def test_an_equal_checkpoint_of_the_same_step_is_a_link_and_stays_when_the_other_is_written_anew(
    tmp_path: Path,
) -> None:
    io, best, last = AtomicCheckpointIO(), tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    last.with_name("last.ckpt.tmp").write_text("left over from a kill")
    io.save_checkpoint(content(1), best)
    io.save_checkpoint(content(1), last)
    assert best.samefile(last)
    io.save_checkpoint(content(2), last)
    assert not best.samefile(last)
    assert alike(torch.load(best, weights_only=True), content(1))
    assert alike(torch.load(last, weights_only=True), content(2))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("second", [content(1, 1e-7), content(2), content(1) | {"more": 1}, {"global_step": 1}])
def test_another_content_is_written_in_full(second: dict[str, Any], tmp_path: Path) -> None:
    io, best, last = AtomicCheckpointIO(), tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    io.save_checkpoint(content(1), best)
    io.save_checkpoint(second, last)
    assert not best.samefile(last)
    assert alike(torch.load(last, weights_only=True), second)


def test_without_links_a_checkpoint_is_written_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("this file system has no links")

    monkeypatch.setattr("os.link", refuse)
    io = AtomicCheckpointIO()
    for name in ("best.ckpt", "last.ckpt"):
        io.save_checkpoint(content(1), tmp_path / name)
    assert alike(torch.load(tmp_path / "last.ckpt", weights_only=True), content(1))


def test_a_checkpoint_that_is_gone_is_no_twin(tmp_path: Path) -> None:
    io = AtomicCheckpointIO()
    io.save_checkpoint(content(1), tmp_path / "best.ckpt")
    (tmp_path / "best.ckpt").unlink()
    io.save_checkpoint(content(1), tmp_path / "last.ckpt")
    assert alike(torch.load(tmp_path / "last.ckpt", weights_only=True), content(1))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ({"x": [1, 2.5, "a", None]}, {"x": [1, 2.5, "a", None]}, True),
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}, False),
        ({"x": 1}, {"x": 1.0}, False),
        ([1, 2], [1], False),
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), False),
        (torch.ones(2), torch.ones(1, 2), False),
        (torch.ones(2), 1.0, False),
        (float("nan"), float("nan"), False),
        ({"x": {}}, {"x": 0}, False),
    ],
)
def test_alike(a: Any, b: Any, same: bool) -> None:
    assert alike(a, b) is same
