"""Steps without the hooks that nobody uses are Lightning's, to the bit; where somebody uses them, they are called."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
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


class Watching(L.Callback):
    """Notes what it is given around each batch, and logs in Lightning's own way."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append((batch_idx, trainer.global_step, trainer.is_last_batch, float(batch.x.sum())))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.seen.append((batch_idx, trainer.global_step, rate, outputs["loss"].item(), outputs["loss"].requires_grad))
        pl_module.log("twice", 2.0 * batch_idx, on_step=True, on_epoch=True, prog_bar=True)


class Clipped(SAEModule):
    """Clips in its own way: not at all."""

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        pass


def fitted(
    path: Path,
    *,
    straight: bool,
    kind: type[SAEModule] = SAEModule,
    callbacks: Any = (),
    ckpt_path: Any = None,
    **options: Any,
) -> tuple[L.Trainer, dict[str, Any], str]:
    """A trainer after its fit, the checkpoint and the curves."""
    torch.manual_seed(0)
    sae = TopK(d_in=8, d_sae=16, k=4, aux_k=4, dead_after=100)
    path.mkdir()
    fit = trainer(path, profiler=Unprofiled(), callbacks=[*callbacks], gradient_clip_val=0.5, **options)
    if straight:
        fit.fit_loop.epoch_loop = Straight(fit, fit.min_steps, fit.max_steps)
    module = kind(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-2), sparsity_warmup=0.5)
    fit.fit(module, datamodule=Data(), ckpt_path=ckpt_path)
    fit.save_checkpoint(path / "x.ckpt")
    return fit, torch.load(path / "x.ckpt", weights_only=True), (path / "metrics.csv").read_text()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip_algorithm": "value"},
        {"val_check_interval": 3},
        {"val_check_interval": 10, "check_val_every_n_epoch": None},
        {"check_val_every_n_epoch": 2},
        {"limit_val_batches": 0},
        {"max_steps": 10},
    ],
)
def test_weights_checkpoints_and_curves_are_lightnings(options: dict[str, Any], tmp_path: Path) -> None:
    fit, checkpoint, curves = fitted(tmp_path / "straight", straight=True, **options)
    _, expected, curves_there = fitted(tmp_path / "lightning", straight=False, **options)
    assert is_plain(fit)
    assert alike(checkpoint, expected)
    assert curves == curves_there


def test_callbacks_around_a_batch_see_what_they_see_in_lightning(tmp_path: Path) -> None:
    seen, checkpoints = [], []
    for straight in (True, False):
        watching = Watching()
        fit, checkpoint, curves = fitted(tmp_path / str(straight), straight=straight, callbacks=[watching])
        checkpoints.append(checkpoint)
        assert is_plain(fit)
        seen.append((watching.seen, curves, fit.progress_bar_metrics, fit.callback_metrics["twice_epoch"].item()))
        assert len(watching.seen) == 48
    assert seen[0] == seen[1]
    assert alike(*checkpoints)
    assert "twice_step" in seen[0][1]


def test_training_goes_on_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    keep = partial(ModelCheckpoint, tmp_path, filename="middle", every_n_train_steps=11, save_top_k=1, monitor=None)
    fitted(tmp_path / "whole", straight=True, callbacks=[keep()], enable_checkpointing=True)
    ends = []
    for straight in (True, False):
        _, checkpoint, rest = fitted(
            tmp_path / str(straight), straight=straight, ckpt_path=tmp_path / "middle.ckpt", max_epochs=4
        )
        ends.append(checkpoint)
        assert checkpoint["global_step"] == 32
        assert len(rest.splitlines()) > 1
    assert alike(*ends)


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
        assert not is_plain(fit)
        seen.append((checkpoint, hooked.norms))
    assert alike(seen[0][0], seen[1][0])
    assert seen[0][1] == seen[1][1]
    assert len(seen[0][1]) == (24 if "callbacks" in options else 0)


def test_a_profiler_hears_every_part(tmp_path: Path) -> None:
    fit = trainer(tmp_path, max_epochs=1, profiler="simple")
    fit.fit_loop.epoch_loop = Straight(fit, fit.min_steps, fit.max_steps)
    sae = SAEModule(sae=TopK(d_in=8, d_sae=16, k=4), optimizer=partial(torch.optim.Adam, lr=1e-2))
    fit.fit(sae, datamodule=Data())
    assert any("backward" in action for action in fit.profiler.recorded_durations)  # type: ignore[attr-defined]
