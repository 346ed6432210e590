"""Single-latent scores against scikit-learn, and the rules that keep them honest."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from saelab.analysis import concepts
from saelab.analysis.concepts import Univariate, auc, best_latents, selectivity, univariate


def sklearn_auc(codes, onehot):
    return np.array([[roc_auc_score(o, f) for o in onehot.T.numpy()] for f in codes.T.numpy()])


@pytest.mark.parametrize("kind", ["dense", "sparse", "signed", "tied"])
def test_auc_equals_sklearn(kind):
    g = torch.Generator().manual_seed(3)
    codes = torch.randn(300, 11, generator=g)
    codes = {
        "dense": codes,
        "sparse": codes.where(codes > 1.5, 0.0),
        "signed": codes.where(codes.abs() > 1, 0.0),
        "tied": (codes * 2).round(),
    }[kind]
    onehot = torch.rand(300, 4, generator=g) < torch.tensor([0.5, 0.1, 0.3, 0.9])  # concepts may overlap
    np.testing.assert_allclose(auc(codes, onehot).numpy(), sklearn_auc(codes, onehot), atol=1e-6)


def test_auc_does_not_depend_on_the_chunk(monkeypatch):
    codes = torch.randn(50, 7).relu()
    onehot = torch.nn.functional.one_hot(torch.arange(50) % 3).bool()
    whole = auc(codes, onehot)
    monkeypatch.setattr(concepts, "CHUNK", 100)
    assert torch.equal(auc(codes, onehot), whole)


def test_auc_of_the_silent_and_the_absent():
    codes = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    onehot = torch.tensor([[True, False, True], [True, False, False], [True, False, False]])
    scores = auc(codes, onehot)
    assert scores[0, 2] == 0.5
    assert scores[1, 2] == 0.0
    assert scores[:, :2].isnan().all()


def test_orientation_is_chosen_on_the_training_half():
    train = torch.arange(40) < 20
    y = torch.arange(40) % 2 == 0
    codes = torch.where(train == y, 1.0, 0.0)[:, None]  # tells the class in one half and lies in the other
    scores = univariate(codes, y[:, None], train=train)
    assert scores.train.item() == 1.0
    assert scores.test.item() == 0.0


def test_dead_latents_are_never_best():
    y = torch.arange(40) % 2 == 0
    codes = torch.zeros(40, 3)
    codes[::4, 2] = 0.1
    codes[20:, 1] = y[20:].float()  # perfect, but silent on the training half
    best = best_latents(univariate(codes, y[:, None], train=torch.arange(40) < 20))
    assert best.latent.item() == 2
    nothing = best_latents(univariate(codes * 0, y[:, None], train=torch.arange(40) < 20))
    assert nothing.latent.item() == -1
    assert nothing.auc.isnan().all()


def test_positive_only_asks_for_latents_that_fire_on_the_concept():
    y = torch.arange(40) % 4 == 0
    codes = torch.stack([(~y).float(), y.float() * (torch.arange(40) % 8 == 0)], dim=1)
    scores = univariate(codes, y[:, None], train=torch.arange(40) < 20)
    assert best_latents(scores).latent.item() == 0
    assert best_latents(scores, positive_only=True).latent.item() == 1


def test_selectivity_by_hand():
    test = torch.tensor([[0.99, 0.5], [0.97, 0.96], [0.6, 0.9], [0.5, 0.5]], dtype=torch.float64)
    scores = Univariate(test, test, torch.ones(4, 2), torch.tensor([True, True, True, False]), torch.ones(4))
    s = selectivity(scores)
    assert s["selective"] == 0.75  # of all four latents
    assert (s["pure"], s["recovered"], s["coverage"], s["redundancy"]) == (1, 1, 2, 2)
    assert s["mean_best_auc"] == pytest.approx((0.99 + 0.97 + 0.9) / 3)
    assert s["entropy"] == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)))
