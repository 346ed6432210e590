"""`callbacks=concepts` as a user runs it: beside a base network, stopped and continued, and packed."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path

import pytest

from programs import TINY_BASE, only_run, read, run, start, stop

WATCH = ["callbacks=concepts", "callbacks.progress=null", "callbacks.summary=null", "probe=null"]
SHORT = [*WATCH, *TINY_BASE, "batch_size=512", "trainer.max_epochs=4", "callbacks.last.every_n_train_steps=4"]
SHORT += ["trainer.log_every_n_steps=1", "callbacks.concepts.every=1", "report=false"]  # 32 steps


def files(path: Path) -> list[bytes]:
    return [(path / f"figures/concept_dynamics{part}.csv").read_bytes() for part in ("", "_summary")]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory with a run that was never stopped."""
    logs = tmp_path_factory.mktemp("logs")
    run("train", *SHORT, "report=true", logs=logs)
    return logs


def test_a_run_tells_when_concepts_came(logs: Path) -> None:
    path = only_run(logs, "quickstart")
    rows = list(csv.DictReader((path / "figures/concept_dynamics.csv").open()))
    assert [int(row["step"]) for row in rows] == [step for step in range(33) for _ in range(10)]
    assert [row["concept"] for row in rows[:10]] == list("0123456789")
    whole = list(csv.DictReader((path / "figures/concept_dynamics_summary.csv").open()))
    for row in whole:
        ours = [one for one in rows if one["step"] == row["step"]]
        assert int(row["recovered_digit"]) == sum(int(one["recovered"]) for one in ours)
    assert 0 < float(whole[0]["l0"]) <= 32
    curves = list(csv.DictReader((path / "metrics.csv").open()))
    (last,) = [row["val/ev"] for row in curves if row["val/ev"] and row["epoch"] == "3"]
    assert float(whole[-1]["ev"]) == pytest.approx(float(last), abs=1e-4)  # all 400 validation rows
    assert "When each concept comes" in (path / "report.html").read_text()
    assert not list(only_run(logs, "base_mlp").glob("figures/concept*"))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_continues_to_the_same_files(sent: signal.Signals, logs: Path, tmp_path: Path) -> None:
    slow = "+callbacks.slow._target_=programs.Slow"  # so that the signal comes before the run is over
    process = start("train", *SHORT, slow, "seed=1", logs=tmp_path)
    while not list(tmp_path.glob("runs/quickstart/*/checkpoints/last.ckpt")) and process.is_alive():
        time.sleep(0.01)
    stop(process, sent)
    stopped = only_run(tmp_path, "quickstart")
    assert read(stopped / "run.json")["status"] != "finished"
    assert len(files(stopped)[1].splitlines()) >= 5
    run("train", *SHORT, "seed=1", "ckpt_path=last", logs=tmp_path)
    straight = tmp_path / "straight"
    run("train", *SHORT, "seed=1", f"paths.run_dir={straight}", logs=tmp_path)
    assert files(stopped) == files(straight)


def test_packed_jobs_have_the_files_they_would_have_alone(logs: Path) -> None:
    args = ["-m", *SHORT, "model.sae.k=4,8"]
    for packed in ("true", "false"):
        done = run("train", *args, f"packed={packed}", f"hydra.sweep.dir={logs}/sweeps/q/{packed}", logs=logs)
        assert ("2 SAEs as one" in done.stdout) == (packed == "true")
    for job in ("000", "001"):
        assert files(logs / f"sweeps/q/true/{job}") == files(logs / f"sweeps/q/false/{job}")
