"""Each metric by hand, against scikit-learn, and in parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from saelab import metrics
from saelab.kernels import Support
from saelab.modules.tally import Tally


def test_by_hand() -> None:
    y = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
    y_hat = torch.tensor([[1.0, 0.0], [2.0, 4.0]])
    f = torch.tensor([[0.0, 3.0, 0.0], [1.0, 2.0, 0.0]])
    s = metrics.sums(y, y_hat, f, torch.zeros(2))
    # the mean is (1, 2): variance 2 (1 + 4) = 10; the error is 1
    assert metrics.fvu(s).item() == pytest.approx(0.1)
    assert metrics.explained_variance(s).item() == pytest.approx(0.9)
    assert metrics.mse(s).item() == pytest.approx(1 / 4)
    assert metrics.l0(s).item() == 1.5
    assert metrics.l1(s).item() == 3.0
    assert metrics.dead(s).item() == pytest.approx(1 / 3)
    assert metrics.density(s).tolist() == [0.5, 1.0, 0.0]


def test_codes_at_their_places_have_the_same_sums() -> None:
    torch.manual_seed(0)
    y, f = torch.randn(40, 7), torch.randn(40, 5) * (torch.rand(40, 5) < 0.3)
    where = Support.of_places((f != 0).view(-1).nonzero().squeeze(1), 40, 5)
    dense = metrics.sums(y, y + 1, f, torch.zeros(7))
    for a, b in zip(dense, metrics.sums(y, y + 1, where.gather(f), torch.zeros(7), where), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("signed", [False, True])
def test_sums_of_codes_against_numpy(signed: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y, f = torch.randn(700, 7), (torch.randn(700, 5) * (torch.rand(700, 5) < 0.8)).to(dtype)
    f = f if signed else f.relu()
    s, codes = metrics.sums(y, y - 1, f, torch.zeros(7)), f.double().numpy()
    assert s.fired.tolist() == (codes != 0).sum(0).tolist()
    assert s.fired.max() > 256  # up to where bfloat16 counts
    np.testing.assert_allclose(s.activity.numpy(), codes.sum(0), rtol=1e-12)
    np.testing.assert_allclose(s.l1.item(), np.abs(codes).sum(), rtol=1e-12)
    np.testing.assert_allclose(s.y2.item(), np.square(y.double().numpy()).sum(), rtol=1e-12)
    np.testing.assert_allclose(s.error.item(), np.square((y - (y - 1)).double().numpy()).sum(), rtol=1e-12)


def test_ev_is_r2_weighted_by_variance_whatever_the_batches() -> None:
    torch.manual_seed(0)
    y, f = torch.randn(1000, 7) + 100, torch.relu(torch.randn(1000, 5))
    y_hat = y + 0.3 * torch.randn(1000, 7)
    want = r2_score(y.numpy().astype(np.float64), y_hat.numpy(), multioutput="variance_weighted")
    tally = Tally(d_out=7, d_sae=5)
    for part in torch.randperm(1000).split(64):
        tally.update(y[part], y_hat[part], f[part], torch.full((7,), 99.0))
    values = tally.compute()
    assert values["ev"].item() == pytest.approx(want, abs=1e-9)
    assert values["mse"].item() == pytest.approx((y - y_hat).double().square().mean().item(), rel=1e-9)
    assert values["l0"].item() == pytest.approx((f != 0).double().sum(1).mean().item())


def test_the_centre_changes_nothing() -> None:
    torch.manual_seed(0)
    y = torch.randn(100, 3)
    args = (y, y + 0.1, torch.ones(100, 2))
    a = metrics.fvu(metrics.sums(*args, torch.zeros(3)))
    b = metrics.fvu(metrics.sums(*args, torch.tensor([5.0, -3.0, 0.5])))
    torch.testing.assert_close(a, b)


def test_recovered() -> None:
    assert metrics.recovered(original=1.0, zero=5.0, spliced=2.0) == 0.75
    assert metrics.recovered(original=0.98, zero=0.1, spliced=0.98) == 1.0
    with pytest.raises(ValueError, match="Ablating the site changes nothing"):
        metrics.recovered(original=1.0, zero=1.0, spliced=1.0)
