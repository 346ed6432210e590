"""Two processes give the numbers of one."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import only_run, read, run

RUN = ["callbacks=quiet", "probe=null", "report=false", "trainer.max_epochs=2", "batch_size=512"]
RUN += ["base.trainer.max_epochs=1", "trainer.log_every_n_steps=1"]


def test_ddp_equals_one_process(tmp_path: Path) -> None:
    run("train", *RUN, logs=tmp_path)
    run("train", *RUN, "trainer=ddp_sim", "name=two", logs=tmp_path)
    one, two = read(only_run(tmp_path, "quickstart") / "metrics.json"), read(only_run(tmp_path, "two") / "metrics.json")
    assert set(one) == set(two)
    for key in ("test/ev", "test/mse", "test/l0", "test/acc_recovered"):
        assert two[key] == pytest.approx(one[key], rel=2e-2), key


def test_ddp_in_a_multirun(tmp_path: Path) -> None:
    run("train", "-m", *RUN, "trainer=ddp_sim", "model.sae.k=4,8", logs=tmp_path)
    (sweep,) = (tmp_path / "sweeps/quickstart").iterdir()
    found = [read(sweep / job / "metrics.json")["test/l0"] for job in ("000", "001")]
    assert found == pytest.approx([4, 8], abs=0.5)
    assert not (tmp_path / "runs/quickstart").exists()
