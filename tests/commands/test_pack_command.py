"""`packed=true`: the jobs of a multirun keep their places and their numbers, whatever happens on the way."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from programs import TINY, TINY_BASE, read, run, start, stop
from saelab.commands.pack import why_alone
from saelab.config import compose

FAST = [*TINY, *TINY_BASE, "probe=null", "report=false"]
JOBS = ["model.sae.k=4,8", "seed=0,1"]


def files(sweep: Path, job: int) -> tuple[Any, bytes, list[dict[str, str]]]:
    """What a job has found: metrics, weights and curves without their times."""
    path = sweep / f"{job:03d}"
    curves = list(csv.DictReader((path / "metrics.csv").open()))
    for row in curves:
        row.pop("samples_per_s")
    return read(path / "metrics.json"), (path / "sae.safetensors").read_bytes(), curves


def table(sweep: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((sweep / "sweep.csv").open()))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory with a sweep whose jobs were trained one after the other."""
    logs = tmp_path_factory.mktemp("logs")
    run("train", "-m", *FAST, *JOBS, f"hydra.sweep.dir={logs}/sweeps/q/alone", logs=logs)
    return logs


def test_packed_jobs_are_what_they_are_alone(logs: Path) -> None:
    """Two seeds are two orders of the rows, so two packs of two."""
    sweep = logs / "sweeps/q/packed"
    done = run("train", "-m", *FAST, *JOBS, "packed=true", f"hydra.sweep.dir={sweep}", logs=logs)
    assert "2 SAEs as one: jobs 000, 002" in done.stdout
    assert "2 SAEs as one: jobs 001, 003" in done.stdout
    for job in range(4):
        assert files(sweep, job) == files(logs / "sweeps/q/alone", job)
    assert [row["model.sae.k"] for row in table(sweep)] == ["4", "4", "8", "8"]
    assert {row["status"] for row in table(sweep)} == {"finished"}
    info = read(sweep / "002/run.json")
    assert [Path(job).name for job in info["packed"]["jobs"]] == ["000", "002"]
    assert info["overrides"][-3:-1] == ["model.sae.k=8", "seed=0"]
    assert info["resumed"] == 0
    again = run("train", "-m", *FAST, *JOBS, "packed=true", f"hydra.sweep.dir={sweep}", logs=logs)
    assert again.stdout.count("finished before") == 4
    assert "as one" not in again.stdout


def test_who_goes_alone_and_why(logs: Path) -> None:
    """A wrong job is told in its turn, a control has nothing to train, and what is left is one: it goes alone."""
    sweep = logs / "sweeps/q/odd"
    odd = ["model.sae.k=4000,4", "packed=true", f"hydra.sweep.dir={sweep}"]
    done = run("train", "-m", *FAST, *odd, logs=logs, code=1)
    assert "job 000: its config is wrong" in done.stdout
    assert "job 001: no other job sees the same batches" in done.stdout
    assert "k=4000 must be between 1 and d_sae=512" in done.stderr
    assert [row["status"] for row in table(sweep)] == ["finished"]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([], None),
        (["model=relu", "optimizer@model.optimizer=muon"], None),
        (["trainer.precision=bf16-mixed"], "trainer.precision=bf16-mixed"),
        (["trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches=2"),
        (["trainer=ddp_sim"], "trainer.devices=2"),
        (["logger=tensorboard"], "it logs elsewhere too (logger)"),
        (["callbacks=resample"], "callbacks.resample"),
        (
            ["+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping", "+callbacks.stop.monitor=val/ev"],
            "callbacks.stop",
        ),
        (["model=pca"], "nothing in it is trained"),
        (["experiment=mnist_mlp"], "it trains no SAE"),
    ],
)
def test_what_cannot_be_packed(overrides: list[str], reason: str | None) -> None:
    assert why_alone(compose("train", overrides)) == reason


def test_a_pack_that_fails_leaves_its_jobs_to_themselves(logs: Path) -> None:
    """This callback asks for the one learning rate of the trainer, which a pack does not have."""
    sweep = logs / "sweeps/q/failed"
    rate = "+callbacks.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor"
    done = run("train", "-m", *FAST, JOBS[0], rate, "packed=true", f"hydra.sweep.dir={sweep}", logs=logs)
    assert "its jobs run alone" in done.stdout
    assert {row["status"] for row in table(sweep)} == {"finished"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_pack_goes_on_to_the_same_numbers(sent: signal.Signals, logs: Path) -> None:
    sweep, straight = (logs / f"sweeps/q/{name}{sent}" for name in ("stopped", "straight"))
    args = ["-m", *FAST, "trainer.max_epochs=4", "model.sae.k=128,256", "packed=true"]
    slow = "+callbacks.slow._target_=programs.Slow"  # so that the signal comes before the run is over
    process = start("train", *args, slow, f"hydra.sweep.dir={sweep}", logs=logs)
    while not list(sweep.glob("*/checkpoints/last.ckpt")) and process.is_alive():
        time.sleep(0.01)
    stop(process, sent)
    assert process.exitcode == (130 if sent == signal.SIGINT else -sent)
    if sent == signal.SIGINT:
        assert {read(file)["status"] for file in sweep.glob("*/run.json")} == {"interrupted"}
    done = run("train", *args, f"hydra.sweep.dir={sweep}", logs=logs)
    assert "continues" in done.stdout
    run("train", *args, f"hydra.sweep.dir={straight}", logs=logs)
    for job in range(2):
        assert files(sweep, job) == files(straight, job)
