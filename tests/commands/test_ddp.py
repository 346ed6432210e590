"""Two processes give the numbers of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from programs import launch, only_run, read, run

RUN = ["callbacks=quiet", "probe=null", "report=false", "trainer.max_epochs=2", "batch_size=512"]
RUN += ["base.trainer.max_epochs=1", "trainer.log_every_n_steps=1"]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory in which one process has trained the base network, filled the store and trained on it."""
    logs = tmp_path_factory.mktemp("one")
    run("train", *RUN, "name=one", logs=logs)
    return logs


def test_ddp_equals_one_process(one: Path) -> None:
    launch("train", *RUN, "trainer=ddp_sim", "name=two", logs=one)
    alone, both = (read(only_run(one, name) / "metrics.json") for name in ("one", "two"))
    assert set(alone) == set(both)
    for key in ("test/ev", "test/mse", "test/l0", "test/acc_recovered"):
        assert both[key] == pytest.approx(alone[key], rel=2e-2), key


def test_ddp_in_a_multirun(one: Path) -> None:
    run("train", "-m", *RUN, "trainer=ddp_sim", "model.sae.k=4,8", "name=many", logs=one)
    (sweep,) = (one / "sweeps/many").iterdir()
    found = [read(sweep / job / "metrics.json")["test/l0"] for job in ("000", "001")]
    assert found == pytest.approx([4, 8], abs=0.5)
    assert not (one / "runs/many").exists()
