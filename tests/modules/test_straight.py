"""Steps without the hooks that nobody uses are Lightning's, to the bit; where somebody uses them, they are called."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from test_training import Data, trainer

from saelab.modules import SAEModule, Straight, Unprofiled
from saelab.modules.checkpoint import alike
from saelab.modules.straight import is_plain
from saelab.sae import TopK


class Hooked(L.Callback):
    """Looks at gradients before they are used, as a callback may."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.norms.append(float(pl_module.sae.W_enc.grad.norm()))


class Clipped(SAEModule):
    """Clips in its own way: not at all."""

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        pass


def fitted(
    path: Path, *, straight: bool, kind: type[SAEModule] = SAEModule, callbacks: Any = (), **options: Any
) -> tuple[L.Trainer, dict[str, Any], str]:
    """A trainer after its fit, the checkpoint and the curves."""
    torch.manual_seed(0)
    sae = TopK(d_in=8, d_sae=16, k=4, aux_k=4, dead_after=100)
    path.mkdir()
    fit = trainer(path, profiler=Unprofiled(), callbacks=[*callbacks], gradient_clip_val=0.5, **options)
    if straight:
        fit.fit_loop.epoch_loop.automatic_optimization = Straight(fit)
    fit.fit(kind(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-2), sparsity_warmup=0.5), datamodule=Data())
    fit.save_checkpoint(path / "x.ckpt")
    return fit, torch.load(path / "x.ckpt", weights_only=True), (path / "metrics.csv").read_text()


@pytest.mark.parametrize("options", [{}, {"gradient_clip_algorithm": "value"}, {"val_check_interval": 3}])
def test_weights_checkpoints_and_curves_are_lightnings(options: dict[str, Any], tmp_path: Path) -> None:
    fit, checkpoint, curves = fitted(tmp_path / "straight", straight=True, **options)
    _, expected, curves_there = fitted(tmp_path / "lightning", straight=False, **options)
    assert is_plain(fit, fit.lightning_module)
    assert alike(checkpoint, expected)
    assert curves == curves_there


@pytest.mark.parametrize(
    "options",
    [{"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, {"callbacks": "hooked"}, {"kind": Clipped}],
)
def test_where_something_is_asked_for_steps_are_lightnings_own(options: dict[str, Any], tmp_path: Path) -> None:
    seen = []
    for straight in (True, False):
        hooked = Hooked()
        given: dict[str, Any] = options | ({"callbacks": [hooked]} if "callbacks" in options else {})
        fit, checkpoint, _ = fitted(tmp_path / str(straight), straight=straight, **given)
        assert not is_plain(fit, fit.lightning_module)
        seen.append((checkpoint, hooked.norms))
    assert alike(seen[0][0], seen[1][0])
    assert seen[0][1] == seen[1][1]
    assert len(seen[0][1]) == (24 if "callbacks" in options else 0)


def test_a_profiler_hears_every_part(tmp_path: Path) -> None:
    fit = trainer(tmp_path, max_epochs=1, profiler="simple")
    fit.fit_loop.epoch_loop.automatic_optimization = Straight(fit)
    sae = SAEModule(sae=TopK(d_in=8, d_sae=16, k=4), optimizer=partial(torch.optim.Adam, lr=1e-2))
    fit.fit(sae, datamodule=Data())
    assert any("backward" in action for action in fit.profiler.recorded_durations)  # type: ignore[attr-defined]
