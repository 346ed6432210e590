from __future__ import annotations

import warnings

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from small_store import Digits, Net, flat, make

from saelab.store import MemoryBatches, PoolBatches, StoreData

SITE = "net.1:in"
pytestmark = [
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(tmp_path_factory.mktemp("data"), Net(), Digits(train=101, val=23, test=9, test_unseen=11), sites=[SITE])


class Autoencoder(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = torch.nn.Linear(8, 8)
        self.seen: list[list[int]] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch.row.tolist())
        return (self.layer(batch.x) - batch.y).square().sum(1).mean()

    def validation_step(self, batch, batch_idx):
        assert batch.y is batch.x

    def test_step(self, batch, batch_idx):
        self.seen.append(batch.row.tolist())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Stop(Callback):
    """A kill that Lightning cannot see coming."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("killed")


def fit(
    store, folder, memory: float, *, callbacks=(), ckpt_path=None, epochs: int = 3, **trainer_options
) -> Autoencoder:
    module = Autoencoder()
    data = StoreData(store=store, site=SITE, batch_size=10, seed=3, memory_limit_gb=memory, pool_rows=40)
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, callbacks=list(callbacks) or None, enable_checkpointing=bool(callbacks),
        **trainer_options,
    )  # fmt: skip
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return module


@pytest.mark.parametrize("memory", [4.0, 0.0])
@pytest.mark.parametrize("step", [2, 4, 11, 15, 22, 32])  # an epoch has 11
def test_a_resumed_run_is_a_straight_run_bit_for_bit(store, tmp_path, memory, step) -> None:
    straight = fit(store, tmp_path, memory)
    assert len(straight.seen) == 33
    save = ModelCheckpoint(dirpath=tmp_path, filename="at", every_n_train_steps=step, save_top_k=1)
    with pytest.raises(RuntimeError, match="killed"):
        fit(store, tmp_path, memory, callbacks=[save, Stop(step + 1)])
    resumed = fit(store, tmp_path, memory, ckpt_path=tmp_path / "at.ckpt")
    assert resumed.seen == straight.seen[step:]
    for name, weight in straight.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name])


@pytest.mark.parametrize("memory", [4.0, 0.0])
def test_a_run_that_ended_goes_on_for_more_epochs(store, tmp_path, memory) -> None:
    straight = fit(store, tmp_path, memory)
    save = ModelCheckpoint(dirpath=tmp_path, filename="end", save_top_k=1)
    fit(store, tmp_path, memory, callbacks=[save], epochs=2)
    more = fit(store, tmp_path, memory, ckpt_path=tmp_path / "end.ckpt")
    assert more.seen == straight.seen[22:]
    assert torch.equal(more.layer.weight, straight.layer.weight)


def test_epochs_differ_and_nothing_warns_about_the_loaders(store, tmp_path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = fit(store, tmp_path, 0.0, epochs=2)
    assert module.seen[:11] != module.seen[11:]
    assert sorted(flat(module.seen[:11])) == sorted(flat(module.seen[11:])) == [*range(101)]
    assert not [w for w in caught if "loader" in str(w.message)]


def test_loaders(store) -> None:
    data = StoreData(store=store, site=SITE, batch_size=10)
    assert data.d_in == data.d_out == 8
    assert isinstance(data.train_dataloader(), MemoryBatches)
    assert data.train_dataloader().shuffle
    for loader, n in ((data.val_dataloader(), 23), (data.test_dataloader(), 9), (data.loader("test_unseen"), 11)):
        assert flat(acts.row.tolist() for acts in loader) == [*range(n)]
    bytes_of_train = 101 * 8 * 4
    small = StoreData(store=store, site=SITE, batch_size=10, memory_limit_gb=(bytes_of_train - 1) / 1e9)
    assert isinstance(small.train_dataloader(), PoolBatches)
    assert isinstance(small.val_dataloader(), MemoryBatches)
    with pytest.raises(ValueError, match="no site"):
        StoreData(store=store, site="net.1:out", batch_size=10)


def test_trainer_test_sees_every_row(store, tmp_path) -> None:
    module = Autoencoder()
    data = StoreData(store=store, site=SITE, batch_size=4, device="auto")
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(accelerator="cpu", default_root_dir=tmp_path, **options).test(module, data, verbose=False)
    assert flat(module.seen) == [*range(9)]
