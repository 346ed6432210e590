"""Read-outs fitted on one sample and scored on others, beside scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from saelab.analysis.readout import accuracies, factor_r2s, fit_classes


def sample(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (n,), generator=g)
    means = 1.3 * torch.randn(4, 6, generator=torch.Generator().manual_seed(9))
    x = means[y] + torch.randn(n, 6, generator=g)
    return torch.cat([x * torch.tensor([1, 10, 0.1, 1, 1, 1]), torch.full((n, 1), 3.0)], 1), y


def test_it_is_sklearns_regression():
    x, y = sample(300, 0)
    scaler = StandardScaler().fit(x)
    theirs = LogisticRegression(C=0.5, tol=1e-8, max_iter=2000).fit(scaler.transform(x), y)
    ours = fit_classes(x, y, 4, c=0.5)
    other, target = sample(200, 1)
    expected = torch.from_numpy(theirs.predict_log_proba(scaler.transform(other)))
    torch.testing.assert_close(ours.logits(other).log_softmax(1).double(), expected, atol=0.01, rtol=0)
    (accuracy,) = accuracies([x, other], [y, target], 4, c=0.5)
    assert accuracy == pytest.approx(theirs.score(scaler.transform(other), target))
    assert accuracy > 0.6


def test_a_class_that_was_never_seen_and_a_code_of_no_width():
    x, y = sample(300, 0)
    some = y < 3
    (accuracy,) = accuracies([x[some], x], [y[some], y], 4)
    assert accuracy < (y < 3).double().mean() + 1e-9
    most = y.bincount().argmax()
    assert accuracies([x[:, :0], x[:5, :0]], [y, y[:5]], 4) == [float((y[:5] == most).double().mean())]


def test_factors():
    g = torch.Generator().manual_seed(0)
    codes = [torch.randn(n, 5, generator=g) for n in (400, 100)]
    weight = torch.randn(5, 2, generator=g) * torch.tensor([1.0, 100.0])
    factors = [c @ weight + 0.5 * torch.randn(len(c), 2, generator=g) * torch.tensor([1.0, 100.0]) for c in codes]
    mean, std = factors[0].mean(0), factors[0].std(0)
    line = Ridge(alpha=1e-9).fit(codes[0], (factors[0] - mean) / std)
    expected = r2_score(((factors[1] - mean) / std).numpy(), line.predict(codes[1]), multioutput="variance_weighted")
    assert factor_r2s(codes, factors) == [pytest.approx(expected, abs=1e-4)]
    assert np.isfinite(expected) and expected > 0.8
