"""Single-latent scores against scikit-learn, and the rules that keep them honest."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from saelab.analysis import concepts
from saelab.analysis.concepts import auc, best_latents, mean_difference, univariate


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


def one_feature_logistic_regressions(codes, onehot, train):
    """Train and held-out AUC of scikit-learn's standardised, balanced regression on every latent for every concept."""
    f, y, train = codes.double().numpy(), onehot.numpy(), train.numpy()
    found = np.zeros((2, f.shape[1], y.shape[1]))
    for i, j in np.ndindex(*found.shape[1:]):
        scaler = StandardScaler().fit(f[train, i : i + 1])
        x = scaler.transform(f[:, i : i + 1])
        model = LogisticRegression(class_weight="balanced", max_iter=1000, tol=1e-10).fit(x[train], y[train, j])
        logit = model.decision_function(x)
        found[:, i, j] = [roc_auc_score(y[part, j], logit[part]) for part in (train, ~train)]
    return found


@pytest.mark.parametrize("signed", [False, True])
def test_oriented_by_means_it_is_the_logistic_regression_of_one_feature(signed):
    g = torch.Generator().manual_seed(5)
    y = torch.randint(0, 3, (400,), generator=g)
    onehot = torch.nn.functional.one_hot(y).bool()
    codes = torch.randn(400, 12, generator=g) + 0.7 * torch.randn(3, 12, generator=g)[y]
    codes = codes.where(codes.abs() > 1, 0.0) if signed else codes.relu()
    codes[:, :4] = codes[:, :4].round()  # ties
    codes[:, 11] = 0
    train = torch.rand(400, generator=g) < 0.8
    expected = one_feature_logistic_regressions(codes, onehot, train)
    scores = univariate(codes, onehot, train=train, by="mean")
    np.testing.assert_allclose(scores.train.numpy(), expected[0], atol=1e-6)
    np.testing.assert_allclose(scores.test.numpy(), expected[1], atol=1e-6)

    # By ranks the training AUC is the larger of both orientations; the two agree but where it is near 1/2.
    ranks = univariate(codes, onehot, train=train)
    np.testing.assert_allclose(ranks.train.numpy(), np.maximum(expected[0], 1 - expected[0]), atol=1e-6)
    agree = expected[0] >= 0.5
    np.testing.assert_allclose(ranks.test.numpy(), np.where(agree, expected[1], 1 - expected[1]), atol=1e-6)
    assert (ranks.train[~torch.from_numpy(agree)] < 0.56).all()
    assert agree.mean() > 0.8


def test_mean_difference_by_hand():
    codes = torch.tensor([[1.0, 0.0], [3.0, -2.0], [0.0, 4.0]])
    onehot = torch.tensor([[True, True], [True, True], [False, True]])
    difference = mean_difference(codes, onehot)
    assert difference[:, 0].tolist() == [2.0, -5.0]
    assert difference[:, 1].isnan().all()


def test_nan_codes_spoil_their_latent_only():
    codes = torch.tensor([[1.0, torch.nan], [2.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    onehot = torch.tensor([[True], [True], [False], [False]])
    assert auc(codes, onehot)[0, 0] == 1
    assert auc(codes, onehot)[1, 0].isnan()
    train = torch.tensor([True, False, True, False])
    assert best_latents(univariate(codes, onehot, train=train)).latent.tolist() == [0]


def test_values_that_differ_in_the_last_bit_of_float64_are_no_tie():
    codes = torch.tensor([[1.0], [1.0 + 2**-40], [0.0]], dtype=torch.float64)
    onehot = torch.tensor([[False], [True], [False]])
    assert auc(codes, onehot).item() == 1.0
    assert auc(codes.float(), onehot).item() == 0.75
