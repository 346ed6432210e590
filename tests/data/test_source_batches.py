import lightning as L
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint

from saelab.data import Batch, Batches, Family, NoiseTags, Source

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),  # Lightning's own
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),  # a resumed run here saves nothing
]


class Numbers(Source):
    """Item i is the number i, and its epoch."""

    n_out = 1
    input_shape = (2,)

    def __init__(self, n: int, seed: int = 0) -> None:
        super().__init__()
        self.n, self.seed, self.device = n, seed, torch.device("cpu")
        self.families = {"parity": Family(classes=("even", "odd"))}

    def size(self, split: str) -> int:
        return self.n

    def batch(self, split: str, index: torch.Tensor, epoch: int = 0) -> Batch:
        x = torch.stack([index.float(), torch.full_like(index, epoch).float()], 1)
        return Batch(x, x[:, :1], index, {"parity": index % 2}, {})


def indices(loader):
    return [batch.index.tolist() for batch in loader]


@given(st.integers(1, 60), st.integers(1, 25), st.integers(1, 4), st.booleans(), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_every_item_once_over_all_ranks(n, batch_size, world_size, shuffle, epoch):
    source = Numbers(n)
    loaders = [
        Batches(source, "train", batch_size=batch_size, shuffle=shuffle, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    if min(n, batch_size) < world_size:
        with pytest.raises(ValueError, match=f"cannot feed {world_size} ranks"):
            len(loaders[0])
        return
    for loader in loaders:
        loader.sampler.set_epoch(epoch)
    shares = [indices(loader) for loader in loaders]
    assert {len(share) for share in shares} == {len(loaders[0])}
    assert all(batch for share in shares for batch in share)
    assert sorted(i for share in shares for batch in share for i in batch) == list(range(n))
    alone = Batches(source, "train", batch_size=batch_size, shuffle=shuffle, rank=0, world_size=1)
    alone.set_epoch(epoch)
    joined = [[i for batch in step for i in batch] for step in zip(*shares, strict=True)]
    whole = [i for batch in indices(alone) for i in batch]
    assert [i for batch in joined for i in batch] == whole
    if not shuffle:
        assert whole == list(range(n))
    sizes = [len(batch) for batch in joined]
    assert all(size == batch_size for size in sizes[:-2])
    assert all(max(map(len, step)) - min(map(len, step)) <= 1 for step in zip(*shares, strict=True))


def test_a_last_batch_smaller_than_the_ranks_joins_the_one_before():
    loaders = [Batches(Numbers(9), "train", batch_size=4, shuffle=False, rank=r, world_size=2) for r in (0, 1)]
    assert [indices(loader) for loader in loaders] == [[[0, 1], [4, 5]], [[2, 3], [6, 7, 8]]]


def test_the_order_follows_seed_epoch_and_split():
    def order(seed=0, epoch=0, split="train"):
        loader = Batches(Numbers(50, seed), split, batch_size=50, shuffle=True)
        loader.set_epoch(epoch)
        return tuple(indices(loader)[0])

    assert order() == order()
    assert len({order(), order(seed=1), order(epoch=1), order(split="val")}) == 4


def test_ranks_come_from_torch_distributed(monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    assert indices(Numbers(8).loader("test")) == [[4, 5, 6, 7]]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 3), st.data())
@settings(max_examples=40, deadline=None)
def test_iteration_goes_on_where_it_stopped(n, batch_size, epoch, data):
    def loader():
        return Batches(Numbers(n), "train", batch_size=batch_size, shuffle=True)

    whole = loader()
    whole.set_epoch(epoch)
    expected = indices(whole)
    stop = data.draw(st.integers(0, len(expected)))
    first, second = loader(), loader()
    first.set_epoch(epoch)
    stream = iter(first)
    seen = [next(stream).index.tolist() for _ in range(stop)]
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert seen + indices(second) == expected
    assert indices(second) == expected  # the epoch again, from its beginning
    second.set_epoch(epoch + 1)
    assert second.state_dict()["handed_out"] == 0


def test_a_new_epoch_forgets_where_the_last_one_stopped():
    loader = Batches(Numbers(10), "train", batch_size=2, shuffle=False)
    loader.load_state_dict({**loader.state_dict(), "handed_out": 3})
    loader.set_epoch(1)
    assert len(indices(loader)) == 5


def test_the_state_of_another_loader_is_refused():
    state = Batches(Numbers(10), "train", batch_size=2, shuffle=False).state_dict()
    with pytest.raises(ValueError, match="made with batch_size=2, this run has 3"):
        Batches(Numbers(10), "train", batch_size=3, shuffle=False).load_state_dict(state)
    with pytest.raises(ValueError, match="made with rows=10, this run has 11"):
        Batches(Numbers(11), "train", batch_size=2, shuffle=False).load_state_dict(state)


def test_a_batch_size_below_one():
    with pytest.raises(ValueError, match="batch_size=0 must be at least 1"):
        Batches(Numbers(3), "train", batch_size=0, shuffle=False)


class Learner(L.LightningModule):
    """Learns tags, and notes which items it saw when."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(784, 10)
        self.seen: list[tuple[int, list[int], float]] = []

    def training_step(self, batch, batch_idx):
        self.seen.append((batch_idx, batch.index.tolist(), batch.x.sum().item()))
        return torch.nn.functional.binary_cross_entropy_with_logits(self.layer(batch.x.flatten(1)), batch.y)

    def validation_step(self, batch, batch_idx):
        return None

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def fit(folder, *, epochs, ckpt_path=None, callbacks=(), validate=True, **arguments):
    torch.manual_seed(0)
    source, learner = NoiseTags(images_per_class=5, augment=True), Learner()
    source.batch_size = 16  # 50 rows: 4 batches, the last of 2
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks),
        limit_val_batches=1.0 if validate else 0,
        **arguments,
    )
    trainer.fit(learner, source, ckpt_path=ckpt_path, weights_only=None)
    return learner


@pytest.fixture(scope="module", params=[True, False], ids=["validating", "training_only"])
def straight(request, tmp_path_factory):
    """A run of three epochs that left a checkpoint after each step."""
    folder = tmp_path_factory.mktemp("straight")
    saver = ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    return fit(folder, epochs=3, callbacks=[saver], validate=request.param), folder, request.param


def test_an_epoch_shows_every_item(straight):
    seen = straight[0].seen
    assert len(seen) == 12
    for epoch in range(3):
        assert sorted(i for _, index, _ in seen[4 * epoch : 4 * epoch + 4] for i in index) == list(range(50))
    assert len({tuple(index) for _, index, _ in seen}) == 12


@pytest.mark.parametrize("steps", [1, 3, 4, 6, 8])
def test_resuming_in_lightning_equals_not_stopping(straight, steps):
    learner, folder, validate = straight
    resumed = fit(folder, epochs=3, ckpt_path=folder / f"step={steps}.ckpt", validate=validate)
    assert resumed.seen == learner.seen[steps:]
    for a, b in zip(learner.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("steps", [4, 6])
def test_resuming_after_max_steps_equals_not_stopping(tmp_path, steps):
    straight = fit(tmp_path, epochs=-1, max_steps=11)
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last", every_n_train_steps=1)
    fit(tmp_path, epochs=-1, max_steps=steps, callbacks=[saver])
    resumed = fit(tmp_path, epochs=-1, max_steps=11, ckpt_path=tmp_path / "last.ckpt")
    assert resumed.seen == straight.seen[steps:]
    assert torch.equal(straight.layer.weight, resumed.layer.weight)


def test_resuming_after_the_end_of_an_epoch(tmp_path):
    straight = fit(tmp_path, epochs=3)
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    fit(tmp_path, epochs=1, callbacks=[saver])
    resumed = fit(tmp_path, epochs=3, ckpt_path=tmp_path / "last.ckpt")
    assert resumed.seen == straight.seen[4:]
    assert torch.equal(straight.layer.weight, resumed.layer.weight)
