"""What steps log in one go is what Lightning would have logged, name by name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from test_pack import QUIET, built
from test_pack import Data as Batched
from test_training import Data, module, rows_of, trainer

from saelab.modules import CurvesLogger, PackCurves, PackModule, SAEModule
from saelab.sae import TopK


class Slow(SAEModule):
    """The same module, with Lightning's own way."""

    log, log_dict = L.LightningModule.log, L.LightningModule.log_dict  # type: ignore[assignment]


class Tells(L.Callback):
    """Logs between log steps, as a callback may, and looks at what it could monitor."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step in (4, 13):
            pl_module.log("train/told", float(trainer.global_step))
        self.seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class Counts(CurvesLogger):
    calls = 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.calls += 1
        super().log_metrics(metrics, step)


def fitted(kind: type[SAEModule], path: Path, **options: Any) -> tuple[str, list[dict[str, float]], int]:
    """The curves, what callbacks saw after each batch, and how often the logger was called."""
    torch.manual_seed(0)
    sae = TopK(d_in=8, d_sae=16, k=4, k_start=8, aux_k=4, dead_after=100)
    path.mkdir()
    seen, curves = Tells(), Counts(path=path / "metrics.csv")
    fit = L.Trainer(logger=curves, callbacks=[seen], max_epochs=3, enable_checkpointing=False, **(QUIET | options))
    fit.fit(kind(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-2)), datamodule=Data())
    return (path / "metrics.csv").read_text(), seen.seen, curves.calls


@pytest.mark.parametrize(
    "options",
    [
        {"log_every_n_steps": 1},
        {"log_every_n_steps": 3},
        {"log_every_n_steps": 2, "accumulate_grad_batches": 3},
        {"log_every_n_steps": 1, "accumulate_grad_batches": 2, "val_check_interval": 0.5},
    ],
)
def test_curves_and_monitors_are_lightnings(options: dict[str, Any], tmp_path: Path) -> None:
    curves, seen, calls = fitted(SAEModule, tmp_path / "one", **options)
    expected, seen_there, calls_there = fitted(Slow, tmp_path / "other", **options)
    assert curves == expected
    assert curves.count("\n") > 3
    assert seen == seen_there
    assert calls == calls_there


def test_nothing_is_told_outside_of_log_steps(tmp_path: Path) -> None:
    trainer(tmp_path, every=100).fit(module(), datamodule=Data())
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows] == ["7", "15", "23"]  # validations
    assert not any(name.startswith("train/") for name in rows[0])


def test_a_pack_tells_its_members_the_same(tmp_path: Path) -> None:
    texts = []
    for slow in (False, True):
        parts = [built(name) for name in ("relu", "topk")]
        members = [CurvesLogger(path=tmp_path / f"{slow}{n}.csv") for n in range(2)]
        pack = PackModule(members=[part[0] for part in parts], draws=[part[1] for part in parts], workers=1)
        if slow:
            pack.log_dict = partial(L.LightningModule.log_dict, pack)  # type: ignore[method-assign]
            pack.log = partial(L.LightningModule.log, pack)  # type: ignore[method-assign]
        fit = L.Trainer(logger=PackCurves(members=members), max_epochs=2, enable_checkpointing=False, **QUIET)
        fit.fit(pack, datamodule=Batched())
        texts.append([curves.path.read_text() for curves in members])
    assert texts[0] == texts[1]
    assert all("train/loss" in text and "val/ev" in text for text in texts[0])
