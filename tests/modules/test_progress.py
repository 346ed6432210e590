"""The progress bar is told of a few steps a second, of every last one, and shows the latest curves."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import RichProgressBar
from test_training import Data, module, trainer

from saelab.modules import Progress, SAEModule
from saelab.modules import progress as drawn
from saelab.sae import TopK


@pytest.mark.parametrize(
    ("seconds_a_step", "told"),
    [(0.0, [8, 8, 8]), (0.051, [1, 3, 5, 7, 8, *[2, 4, 6, 8] * 2]), (0.2, [*range(1, 9)] * 3)],
)
def test_it_is_told_ten_times_a_second_and_of_last_steps(
    seconds_a_step: float, told: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(RichProgressBar, "on_train_batch_end", lambda *given: seen.append(given[-1] + 1))
    clock = iter(range(1000))
    monkeypatch.setattr(drawn, "monotonic", lambda: next(clock) * seconds_a_step)
    bar = Progress()
    bar.due = 0.1 if seconds_a_step == 0 else 0.0
    trainer(tmp_path, callbacks=[bar], enable_progress_bar=True).fit(module(), datamodule=Data())
    assert seen == told


def test_curves_stand_beside_the_bar(tmp_path: Path) -> None:
    shown: dict[str, Any] = {}

    class Looking(Progress):
        def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
            shown.update(super().get_metrics(trainer, pl_module))
            return shown

    sae = SAEModule(sae=TopK(d_in=8, d_sae=16, k=4), optimizer=partial(torch.optim.Adam, lr=1e-2))
    fit = trainer(tmp_path, callbacks=[Looking()], enable_progress_bar=True)
    fit.fit(sae, datamodule=Data())
    assert shown == {name: float(fit.callback_metrics[f"train/{name}"]) for name in ("ev", "l0", "dead")}
    assert 0 < shown["l0"] <= 4
