"""Probes on one latent: by hand, and against a loop with scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from saelab.analysis import single_latent
from saelab.analysis.single_latent import SingleLatent, single_latent_probes, single_latent_summary


def data(n=240, s=9, classes=4):
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, classes, (n,), generator=g)
    codes = torch.randn(n, s, generator=g) + 2 * torch.randn(classes, s, generator=g)[y]
    codes = codes.where(codes > torch.linspace(-9, 2.5, s), 0.0)  # from dense to sparse, with negative codes
    codes[:, 4] = 0
    part = torch.randint(-1, 4, (n,), generator=g)
    codes[:, 5] *= part == 3  # fires on the test part alone
    return codes, y, part


def loop(codes, y, part, folds):
    codes, y, part = codes.double().numpy(), y.numpy(), part.numpy()
    training = (part >= 0) & (part < folds)
    scores = []
    for f in codes.T[..., None]:
        x = StandardScaler().fit(f[training]).transform(f)

        def score(trained, tested, x=x):
            fit = LogisticRegression(tol=1e-10, max_iter=10_000).fit(x[trained], y[trained])
            return fit.score(x[tested], y[tested])

        cv = [score(training & (part != k), part == k) for k in range(folds)]
        scores.append((score(training, part == folds), score(training, training), np.mean(cv), np.std(cv)))
    return np.array(scores).T


@pytest.mark.parametrize("entries", [2**21, 500])
def test_equals_sklearn(monkeypatch, entries):
    monkeypatch.setattr(single_latent, "ENTRIES", entries)
    codes, y, part = data()
    found = single_latent_probes(codes, y, classes=4, part=part, folds=3)
    living = [i for i in range(9) if i not in (4, 5)]
    expected = loop(codes[:, living], y, part, 3)
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(value[living].numpy(), reference, atol=1e-9)
        assert value[[4, 5]].isnan().all()


def test_a_latent_that_is_the_class_and_one_that_is_not():
    y = torch.arange(40) % 2
    codes = torch.stack([y.float(), (torch.arange(40) % 4 < 2).float()], dim=1)
    found = single_latent_probes(codes, y, classes=2, part=torch.arange(40) // 4 % 3, folds=2)
    assert found.test.tolist() == [1, 0.5]
    assert found.cv.tolist() == [1, 0.5]
    assert found.cv_std.tolist() == [0, 0]


def test_nan_is_not_scored():
    codes, y, part = data()
    codes[0, 0] = torch.nan
    found = single_latent_probes(codes, y, classes=4, part=part, folds=3)
    assert found.test[0].isnan()
    assert not found.test[1].isnan()


def test_summary_by_hand():
    test = torch.tensor([0.05, 0.6, torch.nan, 0.4], dtype=torch.float64)
    s = single_latent_summary(SingleLatent(test, test, test, test))
    assert (s["scored"], s["unscored"], s["above_0.1"], s["above_0.5"]) == (3, 1, 2, 1)
    assert s["top"] == 0.6
    assert s["median"] == 0.4
    assert s["mean"] == s["top10"] == pytest.approx(0.35)
    assert s["std"] == pytest.approx(np.std([0.05, 0.6, 0.4]))
    nothing = test[2:3]
    assert single_latent_summary(SingleLatent(nothing, nothing, nothing, nothing)) == {"scored": 0, "unscored": 1}
    assert math.isnan(nothing.item())
