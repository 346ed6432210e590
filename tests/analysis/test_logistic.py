"""Batched logistic regressions against scikit-learn's, and by hand."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from saelab.analysis.logistic import logistic_regressions


def problems(g, m, k, c, seed=0):
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(g, m, k, generator=gen)
    y = torch.randint(0, c, (g, m), generator=gen)
    x = x + torch.randn(g, c, k, generator=gen).gather(1, y[..., None].expand(-1, -1, k))
    return x, y, torch.nn.functional.one_hot(y, c).double()


def sklearn_fit(x, y, c):
    return LogisticRegression(C=c, tol=1e-12, max_iter=10_000).fit(x.double().numpy(), y.numpy())


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_equals_sklearn(c, classes):
    x, y, t = problems(4, 150, 3, classes)
    W = logistic_regressions(x, t, c=c)
    for i in range(4):
        model = sklearn_fit(x[i], y[i], c)
        slope, intercept = (W[i, :-1].T.numpy(), W[i, -1].numpy())
        if classes == 2:
            np.testing.assert_allclose(slope[1] - slope[0], model.coef_[0], atol=1e-4)
            np.testing.assert_allclose(intercept[1] - intercept[0], model.intercept_[0], atol=1e-4)
        else:
            np.testing.assert_allclose(slope, model.coef_, atol=1e-4)
            np.testing.assert_allclose(intercept, model.intercept_ - model.intercept_.mean(), atol=1e-4)


def test_without_features_the_intercepts_are_the_shares():
    """ln p_c less their mean, for counts 6, 3 and 1."""
    W = logistic_regressions(torch.zeros(1, 3, 1), torch.diag(torch.tensor([6.0, 3.0, 1.0]))[None])
    expected = torch.tensor([6.0, 3.0, 1.0]).log().double()
    torch.testing.assert_close(W[0, 1], expected - expected.mean())
    torch.testing.assert_close(W[0, 0], torch.zeros(3).double())


def test_rows_that_count_twice_and_not_at_all():
    x, _, t = problems(1, 90, 2, 3)
    weight = torch.arange(90) % 3
    W = logistic_regressions(x, t * weight[:, None])
    repeated = logistic_regressions(x.repeat_interleave(weight, dim=1), t.repeat_interleave(weight, dim=1))
    torch.testing.assert_close(W, repeated, atol=1e-6, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Line search of Newton solver")  # theirs, which then goes on otherwise
def test_separable_imbalanced_and_missing_classes():
    x = torch.cat([torch.full((1, 1), 50.0), torch.zeros(9999, 1)])[None]  # one row in ten thousand, far away
    t = torch.zeros(1, 10_000, 3).double()
    t[0, 0, 2], t[0, 1:, 0] = 1, 1
    W = logistic_regressions(x, t)
    assert W.isfinite().all()
    assert W[0, :, 1].tolist() == [0, 0]
    # Two columns share the slope, and what it costs is (w/2)²: that of one with C = 2.
    model = LogisticRegression(C=2.0, solver="newton-cholesky", tol=1e-12).fit(x[0].numpy(), t[0].argmax(1).numpy())
    assert (W[0, 0, 2] - W[0, 0, 0]).item() == pytest.approx(model.coef_.item(), rel=1e-5)
    assert (W[0, 1, 2] - W[0, 1, 0]).item() == pytest.approx(model.intercept_.item(), rel=1e-5)


def test_a_problem_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"\[1\] have no rows"):
        logistic_regressions(torch.zeros(2, 3, 1), torch.ones(2, 3, 2) * torch.tensor([1.0, 0.0])[:, None, None])
