"""Canonical correlations: by hand, against an eigenvalue problem and scikit-learn, held out."""

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.cross_decomposition import CCA

from saelab.analysis.cca import canonical, held_out_cca

N = 3000
FIT = torch.arange(N) < N // 2


def normal(columns, seed=0):
    return torch.randn(N, columns, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    """(1, −1, 1, −1) is in both; (1, 1, −1, −1) in x alone; what y has besides it, x has not."""
    common, own, other = torch.tensor([[1.0, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    found = canonical(torch.stack([common + 5, own * 9], 1), torch.stack([common * -3, other], 1))
    torch.testing.assert_close(found.correlation, torch.tensor([1.0, 0.0]).double(), atol=1e-9, rtol=0)


def related():
    x = normal(4)
    return x, torch.cat([x[:, :1] + 0.5 * normal(1, 1), x[:, 1:2] + 2 * normal(1, 2), normal(1, 3)], dim=1)


def test_equals_the_generalised_eigenvalue_problem():
    x, y = related()
    cov = torch.cat([x, y], 1).double().T.cov().numpy()
    xx, xy, yy = cov[:4, :4], cov[:4, 4:], cov[4:, 4:]
    squares = scipy.linalg.eigh(xy.T @ scipy.linalg.solve(xx, xy), yy, eigvals_only=True)[::-1]
    found = canonical(x, y)
    assert found.correlation.tolist() == pytest.approx((squares**0.5).tolist(), abs=1e-9)
    for i in range(3):
        pair = torch.stack([x.double() @ found.a[:, i], y.double() @ found.b[:, i]])
        assert torch.corrcoef(pair)[0, 1].item() == pytest.approx(found.correlation[i].item(), abs=1e-9)


def test_equals_sklearn():
    x, y = related()
    a, b = CCA(n_components=2, max_iter=5000, tol=1e-10).fit_transform(x.numpy(), y.numpy())
    theirs = [abs(np.corrcoef(a[:, i], b[:, i])[0, 1]) for i in range(2)]
    assert canonical(x, y).correlation[:2].tolist() == pytest.approx(theirs, abs=1e-4)


def test_no_basis_changes_it_but_room_does():
    z = normal(3)
    turned = z @ torch.tensor([[1.0, 2, 0], [0, 1, 3], [1, 0, 1]]) * 1e3 + 7
    torch.testing.assert_close(held_out_cca(turned, z, fit=FIT), torch.ones(3).double())
    two = held_out_cca(turned[:, :2], z, fit=FIT)
    torch.testing.assert_close(two, torch.tensor([1.0, 1, 0]).double())
    assert held_out_cca(z[:, :0], z, fit=FIT).tolist() == [0, 0, 0]
    assert held_out_cca(torch.ones(N, 2), z, fit=FIT).tolist() == [0, 0, 0]


def test_unrelated_codes_are_not_correlated_where_it_is_not_fitted():
    x, y = normal(40, 4), normal(3, 5)
    assert canonical(x[FIT], y[FIT]).correlation.mean() > 0.12
    assert held_out_cca(x, y, fit=FIT).abs().mean() < 0.06
