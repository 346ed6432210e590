"""What codes tell of a target: by hand, against scikit-learn, and what is left out."""

import math

import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from saelab.analysis.leakage import least_squares, r2, shares

N = 4000
FIT = torch.arange(N) < N // 2


def normal(columns, seed=0):
    return torch.randn(N, columns, generator=torch.Generator().manual_seed(seed))


def test_a_line_by_hand():
    """Fitted on (0, 1), (1, 3): t = 1 + 2c. On (2, 5), (3, 6) it says 5 and 7: 1 − 1 / 0.5."""
    code, target = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([[1.0], [3.0], [5.0], [6.0]])
    fit = torch.tensor([True, True, False, False])
    line = least_squares(code[fit], target[fit])
    assert (line.weight.item(), line.bias.item()) == pytest.approx((2, 1))
    code, target, fit = code.repeat(10, 1), target.repeat(10, 1), fit.repeat(10)
    assert r2(code, target, fit=fit) == pytest.approx(1 - 1 / 0.5)


def test_r2_equals_sklearn():
    code = normal(7) * torch.tensor([1.0, 1e-2, 1e2, 1, 1, 1, 1])
    target = code @ normal(3, 1)[:7] * 1e-2 + normal(3, 2)
    code[:, 3] = 0.0  # dead
    line = LinearRegression().fit(code[FIT].double().numpy(), target[FIT].double().numpy())
    said = line.predict(code[~FIT].double().numpy())
    expected = r2_score(target[~FIT].double().numpy(), said, multioutput="variance_weighted")
    assert r2(code, target, fit=FIT) == pytest.approx(expected, abs=1e-6)


def test_a_column_twice_is_as_good_as_once():
    code, target = normal(3), normal(3).sum(1, keepdim=True) + normal(1, 1)
    assert r2(code[:, [0, 1, 2, 2, 0]], target, fit=FIT) == pytest.approx(r2(code, target, fit=FIT), abs=1e-6)


def test_no_code_tells_nothing_and_no_target_has_no_share():
    z = normal(2)
    assert r2(z[:, :0], z, fit=FIT) == r2(torch.ones(N, 3), z, fit=FIT) == 0
    assert math.isnan(r2(z, z[:, :0], fit=FIT)) and math.isnan(r2(z, torch.ones(N, 1), fit=FIT))
    assert -0.02 < r2(normal(20, 3), z, fit=FIT) < 0.005


def test_a_code_that_hardly_ever_fires_is_not_read():
    """A line through two rows would be far off on the others."""
    z, code = normal(1), torch.zeros(N, 1)
    code[[0, 1, 3000, 3001]] = torch.tensor([[1e-3], [1.1e-3], [50.0], [60.0]])
    assert r2(code, z, fit=FIT) == 0
    assert r2(torch.cat([code, z], 1), z, fit=FIT) == pytest.approx(1)


def test_shares_by_construction():
    """Of a target a + b + c of equal parts, the own code has a, the other a and b, and c is lost."""
    a, b, c = normal(3).split(1, dim=1)
    found = shares(a, torch.cat([a, b], dim=1), a + b + c, fit=FIT)
    assert tuple(found) == pytest.approx((1 / 3, 2 / 3, 1 / 3, 1 / 3), abs=0.03)
    assert found.own + found.leak + found.lost == pytest.approx(1)


def test_a_copy_does_not_leak_but_is_seen():
    z = normal(2)
    found = shares(z, z @ torch.tensor([[1.0, 2.0], [0.5, -1.0]]), z, fit=FIT)
    assert found.own == pytest.approx(1) and found.other == pytest.approx(1)
    assert found.leak == pytest.approx(0, abs=1e-9) and found.lost == pytest.approx(0, abs=1e-9)
