"""A concept kept from an SAE: each way of doing so by hand, and that nothing else changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from test_concept_callback import QUIET, Stop, data, files, fit, planted, store, table, watch

from saelab.analysis import directions
from saelab.modules import Ablation, AtomicCheckpointIO, PackModule, SAEModule
from saelab.sae import SAE, BatchTopK, ReLU, TopK
from saelab.store import Store
from saelab.store.batches import Acts

__all__ = ["store"]
HOWS = ("drop", "down_weight", "class_mean", "lda", "probe", "penalise", "random_rows", "random_direction")


def learner(how: str | None, kind: type[SAE] = TopK, **options: Any) -> SAEModule:
    torch.manual_seed(0)
    own: dict[str, Any] = {"l1": 0.05} if kind is ReLU else {"k": 2}
    sae = kind(d_in=6, d_sae=24, reanimate=0.1, dead_after=200, **own)
    ablation = None if how is None else Ablation(concept="axis/1", how=how, **options)  # type: ignore[arg-type]
    return SAEModule(sae=sae, optimizer=partial(torch.optim.Adam, lr=1e-2), ablation=ablation)


def fitted(store: Store, how: str, **options: Any) -> Ablation:
    """Of 16 steps those from the 6th to the 11th."""
    ablation = Ablation(concept="axis/1", how=how, **options)  # type: ignore[arg-type]
    ablation.attach_(6)
    ablation.fit_(data(store), 16, torch.device("cpu"))
    return ablation


def batch(store: Store, n: int = 100) -> Acts:
    x = store.read("train", "acts", slice(0, n))
    return Acts(x, x, torch.arange(n))


def bearing(store: Store) -> torch.Tensor:
    return store.labels("train")["axis"] == 1


def test_when(store: Store) -> None:
    ablation = fitted(store, "drop", begin=0.4, end=0.7)
    assert [step for step in range(20) if ablation.on(step)] == [6, 7, 8, 9, 10]
    assert not any(fitted(store, "none").on(step) for step in range(20))
    assert [step for step in range(20) if fitted(store, "drop", begin=0, end=1).on(step)] == list(range(16))


def test_dropped_rows_are_those_of_the_concept(store: Store) -> None:
    acts, on = batch(store), bearing(store)
    left = fitted(store, "drop").batch_(planted(), acts)
    assert left.row.tolist() == [row for row in range(100) if not on[row]]
    assert torch.equal(left.x, acts.x[left.row])
    assert left.y is left.x
    other = fitted(store, "drop").batch_(planted(), acts._replace(y=2 * acts.x))
    assert torch.equal(other.y, 2 * left.x)
    with pytest.raises(ValueError, match="batch_size must be larger"):
        fitted(store, "drop").batch_(planted(), Acts(*(part[on[:100]] for part in acts)))


def test_random_rows_are_as_many_and_others(store: Store) -> None:
    ablation, on = fitted(store, "random_rows", seed=1), bearing(store)
    assert int(ablation.target.sum()) == int(on.sum())
    assert 0.1 < float((ablation.target & on).sum() / on.sum()) < 0.5  # a quarter of all rows
    assert torch.equal(ablation.target, fitted(store, "random_rows", seed=1).target)
    assert not torch.equal(ablation.target, fitted(store, "random_rows", seed=2).target)


@pytest.mark.parametrize("how", ["class_mean", "lda", "probe", "random_direction"])
def test_nothing_is_left_along_the_direction(how: str, store: Store) -> None:
    ablation, acts = fitted(store, how, rows=300), batch(store)
    x, on = store.read("train", "acts", slice(0, 300)), bearing(store)[:300]
    u = {
        "class_mean": lambda: directions.class_mean_direction(x, on),
        "lda": lambda: directions.lda_direction(x, on),
        "probe": lambda: directions.probe_direction(x, on),
        "random_direction": lambda: directions.random_direction(6, seed=0).float(),
    }[how]()
    torch.testing.assert_close(ablation.direction, u)
    left = ablation.batch_(planted(), acts)
    torch.testing.assert_close(left.x, acts.x - torch.outer(acts.x @ u, u))
    assert float((left.x @ u).abs().max()) < 1e-5
    assert left.y is left.x
    assert how == "random_direction" or float(u[1]) > 0.5  # the axis of class 1
    other = ablation.batch_(planted(), acts._replace(y=acts.x.clone()))
    assert torch.equal(other.y, acts.x)  # a transcoder's target


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", [ReLU, TopK, BatchTopK])
def test_weights_scale_each_row_s_loss_and_gradient(kind: type[SAE], sparse: bool, store: Store) -> None:
    """Beside a sum over rows, one after the other, of the reconstruction and of the penalty."""
    sae, acts, on = learner(None, kind).sae, batch(store, 40), bearing(store)[:40]
    sae.reanimate = 0.0
    sae.density.fill_(0.01 if sparse else 1.0)
    s = sae.step(acts.x)
    assert (s.where is not None) == sparse
    ablation = fitted(store, "down_weight", weight=0.3)
    terms = ablation.losses(sae, s, acts.row)
    torch.stack(list(terms.values())).sum().backward()
    ours = [p.grad.clone() for p in sae.parameters() if p.grad is not None]
    sae.zero_grad()
    sae.density.fill_(1.0)
    s = sae.step(acts.x)
    expected = torch.zeros(())
    for r in range(40):
        loss = (s.y[r] - s.y_hat[r]).square().sum() + (0.05 * s.f[r].abs().sum() if kind is ReLU else 0)
        expected = expected + (0.3 if on[r] else 1.0) * loss / 40
    expected.backward()
    assert float(sum(terms.values()).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for grad, p in zip(ours, (p for p in sae.parameters() if p.grad is not None), strict=True):
        torch.testing.assert_close(grad, p.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_penalty_s_gradient(sparse: bool, store: Store) -> None:
    """d/db_i of penalty E_r Σ_{i in P} |f_i| is the penalty times how often a latent of P fires; 0 for the others."""
    sae, acts = learner(None, TopK).sae, batch(store)
    sae.density.fill_(0.01 if sparse else 1.0)
    ablation = fitted(store, "penalise", penalty=0.7)
    ablation.latents = torch.zeros(24, dtype=torch.bool).index_fill(0, torch.tensor([1, 5, 8]), True)
    s = sae.step(acts.x)
    terms = ablation.losses(sae, s, acts.row)
    f = sae.activate(sae.preactivate(sae.norm(acts.x)))
    assert float(terms["ablation"]) == pytest.approx(0.7 * float(f[:, [1, 5, 8]].sum() / 100), rel=1e-5)
    assert set(terms) == set(sae.losses(s)) | {"ablation"}
    terms["ablation"].backward()
    fires = (f > 0).float().mean(0) * ablation.latents
    torch.testing.assert_close(sae.b_enc.grad, 0.7 * fires)
    assert float(fires.sum()) > 0


def test_pure_latents_are_penalised(store: Store) -> None:
    ablation, sae = fitted(store, "penalise"), planted().train()
    acts = batch(store)
    assert ablation.batch_(sae, acts) is acts
    assert ablation.latents.tolist() == [False, True, False, False, False, False]
    assert sae.training
    sae.W_enc.data.zero_()
    ablation.batch_(sae, batch(store))
    assert ablation.latents.sum() == 1  # chosen once
    empty = fitted(store, "penalise", pure=1.0)
    empty.batch_(planted(), batch(store))
    assert empty.latents.sum() == 0
    assert bool(empty.chosen)


@pytest.mark.parametrize("kind", [ReLU, TopK, BatchTopK])
def test_an_untouched_run_is_one_without(kind: type[SAE], store: Store) -> None:
    states = []
    for module in (learner(None, kind), learner("none", kind), learner("drop", kind, begin=0.9, end=0.902)):
        fit(module, store)  # 16 steps: the last window is empty
        states.append(module.sae.state_dict())
    for state in states[1:]:
        assert all(torch.equal(states[0][name], state[name]) for name in states[0])


@pytest.mark.parametrize("how", HOWS)
def test_training_changes_from_the_first_step_of_it_on(how: str, store: Store, tmp_path: Path) -> None:
    found = []
    for i, which in enumerate((how, "none")):
        options = {"penalty": 5.0, "pure": 0.8} if how == "penalise" else {}
        fit(learner(which, begin=0.5, end=0.75, **options), store, watch(tmp_path / str(i), every=1))
        found.append([row["ev"] for row in table(tmp_path / str(i), "concept_dynamics_summary")])
    assert found[0][:9] == found[1][:9]
    assert found[0][10:] != found[1][10:]


@pytest.mark.parametrize("how", HOWS)
def test_a_continued_run_is_one_that_never_stopped(how: str, store: Store, tmp_path: Path) -> None:
    """Stopped at step 13 of 24, in the middle, and continued from step 8, where it had begun or was about to."""
    options: dict[str, Any] = {"begin": 0.25, "end": 0.75, "pure": 0.8}
    straight = learner(how, **options)
    fit(straight, store, watch(tmp_path / "straight", times=2), epochs=3)
    last = ModelCheckpoint(dirpath=tmp_path, filename="last", enable_version_counter=False)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(learner(how, **options), store, last, watch(tmp_path / "again", times=2), Stop(), epochs=3)
    again = learner(how, **options)
    looks = watch(tmp_path / "again", times=2)
    trainer = L.Trainer(
        max_epochs=3, callbacks=[looks], plugins=[AtomicCheckpointIO()], **QUIET, enable_checkpointing=False
    )
    trainer.fit(again, datamodule=data(store), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    ours, theirs = straight.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert files(tmp_path / "again") == files(tmp_path / "straight")
    assert {"6", "18"} <= {row["step"] for row in table(tmp_path / "again")}  # where it begins and ends


def test_members_of_a_pack_each_have_their_own(store: Store) -> None:
    alone, members, draws = [], [], []
    for how in ("drop", "none", "lda"):
        alone.append(learner(how))
        fit(alone[-1], store)
        members.append(learner(how))
        draws.append(torch.get_rng_state())
    fit(PackModule(members=members, draws=draws), store)
    for one, member in zip(alone, members, strict=True):
        state = member.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concept": "axis"}, "such as digit/3"),
        ({"begin": 0.5, "end": 0.5}, "begin=0.5 and end=0.5"),
        ({"weight": 2.0}, "weight=2.0"),
        ({"penalty": -1.0}, "penalty=-1.0"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ablation(**{"concept": "axis/1", "how": "drop"} | options)


@pytest.mark.parametrize("concept", ["axis/7", "digit/1", "size/0"])
def test_a_concept_that_there_is_not(concept: str, store: Store) -> None:
    with pytest.raises(ValueError, match="is none of axis/0, axis/1"):
        Ablation(concept=concept, how="drop").check(data(store))
