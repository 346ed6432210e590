"""Killed or stopped at any moment, a run can be finished, and its numbers are those of a run that never stopped."""

from __future__ import annotations

import csv
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from programs import Done, launch, read, run, start, stop

RUN = ["callbacks=quiet", "probe=null", "report=false", "trainer.max_epochs=4", "trainer.log_every_n_steps=1"]
RUN += ["callbacks.last.every_n_train_steps=4", "base.trainer.max_epochs=2", "batch_size=512"]


def wait_for(path: Path, pattern: str, process: BaseProcess) -> None:
    """Until a file is there, or the process has ended."""
    while not list(path.glob(pattern)) and process.is_alive():
        time.sleep(0.01)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory with a run that was never stopped."""
    logs = tmp_path_factory.mktemp("straight")
    run("train", *RUN, logs=logs)
    return logs


def final(logs: Path, name: str = "quickstart") -> tuple[dict[str, float], list[dict[str, str]]]:
    (path,) = [p for p in (logs / "runs" / name).iterdir() if read(p / "run.json")["status"] == "finished"]
    curves = list(csv.DictReader((path / "metrics.csv").open()))
    return read(path / "metrics.json"), [{k: v for k, v in row.items() if k != "samples_per_s"} for row in curves]


def assert_same(resumed: tuple[Any, list[Any]], straight: tuple[Any, list[Any]]) -> None:
    """The final metrics to the last bit, and the curves; of these the row that was being written may be lost."""
    assert resumed[0] == straight[0]
    lost = [row for row in straight[1] if row not in resumed[1]]
    assert [row for row in straight[1] if row not in lost] == resumed[1]
    assert len(lost) <= 1


@pytest.mark.parametrize(
    ("sent", "every", "again"), [(signal.SIGKILL, 4, run), (signal.SIGINT, 4, launch), (signal.SIGKILL, "null", run)]
)
def test_a_stopped_run_continues_to_the_same_numbers(
    sent: signal.Signals, every: int | str, again: Callable[..., Done], straight: Path, tmp_path: Path
) -> None:
    """From a checkpoint in mid-epoch or at its end; once in a new interpreter, where texts hash otherwise."""
    slow = "+callbacks.slow._target_=programs.Slow"  # so that the signal comes before the run is over
    process = start("train", *RUN, slow, f"callbacks.last.every_n_train_steps={every}", logs=tmp_path)
    wait_for(tmp_path, "runs/quickstart/*/checkpoints/last.ckpt", process)
    stop(process, sent)
    assert process.exitcode == (130 if sent == signal.SIGINT else -sent)
    if sent == signal.SIGINT:
        (stopped,) = (tmp_path / "runs/quickstart").iterdir()
        assert read(stopped / "run.json")["status"] == "interrupted"
    done = again("train", *RUN, "ckpt_path=last", logs=tmp_path)
    assert "base   found" in done.stdout
    assert "store  found" in done.stdout
    assert "continues from step" in done.stdout
    assert_same(final(tmp_path), final(straight))


@pytest.mark.parametrize(
    "moment",
    ["runs/base_mlp/*/run.json", "runs/base_mlp/*/checkpoints/last.ckpt", "stores/*", "runs/quickstart/*/metrics.csv"],
)
def test_killed_at_any_moment_the_same_command_finishes(moment: str, straight: Path, tmp_path: Path) -> None:
    process = start("train", *RUN, logs=tmp_path)
    wait_for(tmp_path, moment, process)
    process.kill()
    process.join()
    run("train", *RUN, logs=tmp_path)
    assert_same(final(tmp_path), final(straight))
    assert_same(final(tmp_path, "base_mlp"), final(straight, "base_mlp"))


def test_nothing_to_continue_is_said(straight: Path) -> None:
    done = run("train", *RUN, "ckpt_path=last", "seed=7", logs=straight, code=2)
    assert "ckpt_path=last: there is no unfinished run of this config" in done.stderr


def test_a_missing_checkpoint_is_said_and_leaves_no_run_behind(straight: Path) -> None:
    before = sorted((straight / "runs/quickstart").iterdir())
    done = run("train", *RUN, "ckpt_path=nowhere.ckpt", logs=straight, code=2)
    assert "'ckpt_path' is nowhere.ckpt: there is no such file" in done.stderr
    assert sorted((straight / "runs/quickstart").iterdir()) == before
