"""Optimisers by config: each lowers the loss, continues exactly, and does what its name says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import schedulefree
import torch
from test_training import Data, module, trainer
from torch.profiler import profile

from saelab.modules import Adam, MuonAdam

FACTORIES = {
    "adam": partial(Adam, lr=1e-2, fused=True),
    "adamw": partial(torch.optim.AdamW, lr=1e-2),
    "muon": partial(MuonAdam, lr=1e-2),
    "schedule_free": partial(schedulefree.AdamWScheduleFree, lr=1e-2),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_it_trains(name: str, tmp_path: Path) -> None:
    sae, data = module(), Data()
    sae.optimizer = FACTORIES[name]
    before = (data.x - sae.sae(data.x)).square().sum()
    trainer(tmp_path, max_epochs=20).fit(sae, datamodule=data)
    assert (data.x - sae.sae(data.x)).square().sum() < 0.3 * before


@pytest.mark.parametrize("name", FACTORIES)
def test_continued_it_is_as_if_it_had_not_stopped(name: str, tmp_path: Path) -> None:
    def fit(folder: str, epochs: int, checkpoint: Path | None = None) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        sae = module(lr_warmup=0.0, lr_decay=0.0)
        sae.optimizer = FACTORIES[name]
        fit = trainer(tmp_path / folder, max_epochs=epochs)
        fit.fit(sae, datamodule=Data(), ckpt_path=checkpoint)
        return fit, sae

    _, whole = fit("whole", 4)
    (tmp_path / "half").mkdir()
    stopped = module(lr_warmup=0.0, lr_decay=0.0)
    stopped.optimizer = FACTORIES[name]
    half = trainer(tmp_path / "half", max_epochs=4, callbacks=[_StopAfter(2, tmp_path / "half.ckpt")])
    half.fit(stopped, datamodule=Data())
    _, continued = fit("rest", 4, tmp_path / "half.ckpt")
    assert torch.equal(continued.sae.W_dec, whole.sae.W_dec)
    assert torch.equal(continued.sae.b_enc, whole.sae.b_enc)


class _StopAfter(L.Callback):
    """Write a checkpoint at the end of an epoch, and stop there."""

    def __init__(self, epochs: int, path: Path) -> None:
        self.epochs, self.path = epochs, path

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch + 1 == self.epochs:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def test_muon_orthogonalises_matrices_and_leaves_vectors_to_adam() -> None:
    torch.manual_seed(0)
    matrix, vector = torch.nn.Parameter(torch.zeros(8, 4)), torch.nn.Parameter(torch.zeros(5))
    twin = torch.nn.Parameter(torch.zeros(5))
    optimizer, adam = MuonAdam([matrix, vector], lr=0.1), torch.optim.Adam([twin], lr=0.1)
    matrix.grad = torch.randn(8, 4) @ torch.diag(torch.tensor([100.0, 10.0, 1.0, 0.1]))
    vector.grad = torch.randn(5)
    twin.grad = vector.grad.clone()
    optimizer.step()
    adam.step()
    assert torch.equal(vector, twin)
    values = torch.linalg.svdvals(matrix.detach())
    assert values.max() / values.min() < 4  # the gradient's are 1000 apart


def test_a_schedule_moves_both_parts_of_muon() -> None:
    matrix, vector = torch.nn.Parameter(torch.zeros(8, 4)), torch.nn.Parameter(torch.zeros(5))
    optimizer = MuonAdam([matrix, vector], lr=0.1)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == [0.05, 0.05]


def test_schedule_free_ends_with_the_averaged_weights(tmp_path: Path) -> None:
    sae = module()
    sae.optimizer = FACTORIES["schedule_free"]
    fit = trainer(tmp_path, max_epochs=2)
    fit.fit(sae, datamodule=Data())
    assert not fit.optimizers[0].param_groups[0]["train_mode"]


@pytest.mark.parametrize("fused", [True, False])
def test_adam_is_torchs_and_copies_no_matrix(fused: bool) -> None:
    start = torch.randn(64, 48)
    ends = []
    for kind in (Adam, torch.optim.Adam):
        torch.manual_seed(0)
        matrices = [
            torch.nn.Parameter(start.clone()),
            torch.nn.Parameter(start.T.contiguous().T),
            torch.nn.Parameter(start[0].clone()),
        ]
        optimizer = kind(matrices, lr=1e-2, weight_decay=0.1, amsgrad=True, fused=fused)
        for _ in range(5):
            for p in matrices:
                p.grad = torch.empty_like(p).copy_(torch.randn(p.shape))
            with profile() as seen:
                optimizer.step()
        ends.append(([p.detach() for p in matrices], optimizer.state_dict()["state"], [e.name for e in seen.events()]))
    (ours, state, called), (torchs, states, _) = ends
    assert all(torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(ours, torchs, strict=True))
    for p, q in zip(state.values(), states.values(), strict=True):
        assert all(torch.equal(p[key], q[key]) and p[key].stride() == q[key].stride() for key in q)
    assert "aten::clone" not in called
