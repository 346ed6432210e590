"""Concepts over training: what is written of an SAE in which they are known, and that nothing else changes for it."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from saelab.modules import AtomicCheckpointIO, ConceptDynamics, PackModule, SAEModule
from saelab.modules.concept_files import COLUMNS
from saelab.modules.concepts import moments
from saelab.sae import SAE, BatchTopK, ReLU, TopK
from saelab.store import Store, StoreData, import_array

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "logger": False}
CLASSES = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """1,000 rows near four axes, labelled by which; of 800 training rows, 100 validation rows."""
    folder = tmp_path_factory.mktemp("store")
    g = np.random.default_rng(0)
    label = g.integers(CLASSES, size=1000)
    x = np.eye(6, dtype=np.float32)[label] + 0.05 * g.standard_normal((1000, 6)).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.save(folder / "axis.npy", label)
    np.save(folder / "size.npy", x[:, :2])
    labels = {"axis": str(folder / "axis.npy"), "size": str(folder / "size.npy")}
    return import_array(folder / "x.npy", folder / "made", labels=labels, progress=False)


def data(store: Store, batch_size: int = 100) -> StoreData:
    return StoreData(store=store, site="acts", batch_size=batch_size)


def planted() -> SAE:
    """Latent c fires on class c alone, as a row's noise stays below the bias; latent 4 never, latent 5 on all rows."""
    sae = ReLU(d_in=6, d_sae=6, l1=0.0, normalize="none", b_dec_init="zeros", decoder="free")
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(6))
        sae.W_dec.copy_(torch.eye(6))
        sae.b_enc.copy_(torch.tensor([-0.5] * 5 + [9.0]))
    return sae


def module(sae: SAE, lr: float = 1e-2) -> SAEModule:
    return SAEModule(sae=sae, optimizer=partial(torch.optim.Adam, lr=lr))


def learner(kind: type[SAE], seed: int = 0) -> SAEModule:
    torch.manual_seed(seed)
    own: dict[str, Any] = {"l1": 0.05} if kind is ReLU else {"k": 2}
    return module(kind(d_in=6, d_sae=24, reanimate=0.1, dead_after=200, **own))


def fit(module: L.LightningModule, store: Store, *callbacks: L.Callback, epochs: int = 2, **options: Any) -> L.Trainer:
    saves = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    options |= {"max_epochs": epochs, "callbacks": list(callbacks), "enable_checkpointing": saves}
    trainer = L.Trainer(plugins=[AtomicCheckpointIO()], **QUIET | options)
    trainer.fit(module, datamodule=data(store))
    return trainer


def watch(folder: Path, **options: Any) -> ConceptDynamics:
    return ConceptDynamics(save_dir=str(folder), **options)


def table(folder: Path, name: str = "concept_dynamics") -> list[dict[str, str]]:
    return list(csv.DictReader((folder / f"{name}.csv").open()))


def files(folder: Path) -> list[bytes]:
    return [(folder / f"concept_dynamics{part}.csv").read_bytes() for part in ("", "_summary")]


class Forget(L.Callback):
    """From step 5 on the latent of class 1 is silent; at step 9 it is back."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.global_step in (5, 9):
            pl_module.sae.b_enc.data[1] = {5: -9.0, 9: -0.5}[trainer.global_step]


def test_what_is_written_of_known_latents(store: Store, tmp_path: Path) -> None:
    """Sixteen steps that learn nothing; each of four classes has its latent, one of which is taken away for a while."""
    fit(module(planted(), lr=0.0), store, Forget(), watch(tmp_path, every=1))
    rows, whole = table(tmp_path), table(tmp_path, "concept_dynamics_summary")
    assert list(rows[0]) == ["step", "epoch", "family", "concept", *COLUMNS]
    assert [(row["step"], row["concept"]) for row in rows] == [(str(s), str(c)) for s in range(17) for c in range(4)]
    assert {row["family"] for row in rows} == {"axis"}
    lost = [(row["step"], row["concept"]) for row in rows if row["recovered"] == "0"]
    assert lost == [(str(step), "1") for step in range(5, 9)]
    for row in rows:
        gone = (row["step"], row["concept"]) in lost
        assert (float(row["best_auc"]) < 0.95) == gone
        assert float(row["best_auc"]) == 1 or gone
        assert row["pure"] == str(int(not gone))
        assert float(row["probe_auc"]) > 0.6 if gone else float(row["probe_auc"]) == 1  # by the others' silence
    assert [row["recovered_axis"] for row in whole] == ["4"] * 5 + ["3"] * 4 + ["4"] * 8
    assert [int(row["epoch"]) for row in whole] == [0] * 9 + [1] * 8
    share = float((store.labels("val")["axis"] == 1).double().mean())
    for row in whole:
        gone = 5 <= int(row["step"]) < 9
        assert float(row["l0"]) == pytest.approx(2 - share * gone)
        assert float(row["dead"]) == pytest.approx((1 + gone) / 6)


def test_thresholds_and_rows(store: Store, tmp_path: Path) -> None:
    fit(module(planted(), lr=0.0), store, watch(tmp_path, every=8, pure=1.0, rows=40))
    assert {row["recovered"] for row in table(tmp_path)} == {"0"}
    assert {row["detected"] for row in table(tmp_path)} == {"1"}
    share = float((planted().encode(store.read("val", "acts", slice(0, 40))) != 0).double().mean())
    assert float(table(tmp_path, "concept_dynamics_summary")[0]["l0"]) == pytest.approx(6 * share)


def test_when(store: Store, tmp_path: Path) -> None:
    assert moments(1000, 20) == {*range(0, 1001, 100), 1, 2, 4, 8, 16, 32, 63, 126, 251, 501}
    assert moments(200, 20) == {0, 67, 133, 200, 1, 6, 34}  # not more than every thirty-second
    assert moments(40, 20) == {0, 1, 40}
    assert moments(3, 20) == {0, 1, 3}
    assert moments(7, 1) == {0, 1, 7}
    fit(module(planted()), store, watch(tmp_path, every=2, unit="epoch"), epochs=3)
    assert [row["step"] for row in table(tmp_path, "concept_dynamics_summary")] == ["0", "16", "24"]
    with pytest.raises(ValueError, match="every=0"):
        watch(tmp_path, every=0)


@pytest.mark.parametrize("kind", [ReLU, TopK, BatchTopK])
def test_looking_changes_nothing(kind: type[SAE], store: Store, tmp_path: Path) -> None:
    states = []
    for callbacks in ((), (watch(tmp_path, every=1),)):
        sae = learner(kind)
        fit(sae, store, *callbacks)
        states.append(sae.state_dict())
        assert sae.training
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert len(table(tmp_path, "concept_dynamics_summary")) == 17


def test_what_is_looked_at_is_what_validation_sees(store: Store, tmp_path: Path) -> None:
    """The averaged weights of a schedule-free optimiser, not those that are trained."""
    schedulefree = pytest.importorskip("schedulefree")
    torch.manual_seed(0)
    sae = SAEModule(
        sae=TopK(d_in=6, d_sae=24, k=2),
        optimizer=partial(schedulefree.AdamWScheduleFree, lr=1e-2),
        lr_warmup=0.0,
        lr_decay=0.0,
    )
    trainer = fit(sae, store, watch(tmp_path, every=8))
    seen = float(table(tmp_path, "concept_dynamics_summary")[-1]["ev"])
    assert seen == pytest.approx(float(trainer.callback_metrics["val/ev"]), abs=1e-5)


class Stop(L.Callback):
    """As a kill would, between two checkpoints."""

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == 13:
            raise RuntimeError("stopped")


def test_a_continued_run_has_the_files_of_one_that_never_stopped(store: Store, tmp_path: Path) -> None:
    straight, again = tmp_path / "straight", tmp_path / "again"
    fit(learner(TopK), store, watch(straight, every=1), epochs=3)
    last = ModelCheckpoint(dirpath=again, filename="last", enable_version_counter=False)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(learner(TopK), store, last, watch(again, every=1), Stop(), epochs=3)
    assert table(again, "concept_dynamics_summary")[-1]["step"] == "13"
    trainer = L.Trainer(max_epochs=3, callbacks=[watch(again, every=1)], **QUIET, enable_checkpointing=False)
    trainer.fit(learner(TopK), datamodule=data(store), ckpt_path=again / "last.ckpt", weights_only=True)
    assert files(again) == files(straight)


def test_a_run_that_begins_again_forgets_what_was_there(store: Store, tmp_path: Path) -> None:
    fit(learner(TopK, seed=1), store, watch(tmp_path, every=1))
    fit(learner(TopK), store, watch(tmp_path, every=4))
    fit(learner(TopK), store, watch(tmp_path / "fresh", every=4))
    assert files(tmp_path) == files(tmp_path / "fresh")


def test_members_of_a_pack_have_the_files_they_would_have_alone(store: Store, tmp_path: Path) -> None:
    members, draws = [], []
    for kind in (ReLU, TopK):
        members.append(learner(kind))
        draws.append(torch.get_rng_state())
        fit(learner(kind), store, watch(tmp_path / "alone" / kind.__name__, times=6))
    folders = [str(tmp_path / kind.__name__) for kind in (ReLU, TopK)]
    fit(PackModule(members=members, draws=draws), store, ConceptDynamics(save_dir=folders, times=6))
    for name in ("ReLU", "TopK"):
        assert files(tmp_path / name) == files(tmp_path / "alone" / name)


class Other(L.LightningModule):
    """Anything that is no SAE."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(6, 1)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        return self.net(batch.x).square().sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_base_network_is_left_alone(store: Store, tmp_path: Path) -> None:
    trainer = fit(Other(), store, watch(tmp_path, every=1), limit_val_batches=0)
    assert trainer.global_step == 16
    assert not list(tmp_path.iterdir())
