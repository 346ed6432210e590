"""Continuous factors: R² and mutual information by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score, r2_score

from saelab.analysis.factors import best_for_factors, latent_r2, mutual_information, quantile_bins


def data(n=500, s=8):
    g = torch.Generator().manual_seed(0)
    factors = torch.rand(n, 3, generator=g) * torch.tensor([1.0, 10.0, 3.0])
    codes = torch.randn(n, s, generator=g) + factors @ torch.randn(3, s, generator=g)
    codes = codes.where(codes.abs() > 1, 0.0)  # signed
    codes[:, 3] = 0
    return codes, factors, torch.rand(n, generator=g) < 0.6


def test_r2_equals_sklearn():
    codes, factors, train = data()
    found = latent_r2(codes, factors, train=train)
    f, y, fit = codes.double().numpy(), factors.double().numpy(), train.numpy()
    for i, j in np.ndindex(8, 3):
        if i == 3:
            assert found[0][i, j].isnan() and found[1][i, j].isnan()
            continue
        line = LinearRegression().fit(f[fit, i : i + 1], y[fit, j])
        for part, value in zip((fit, ~fit), found, strict=True):
            assert value[i, j].item() == pytest.approx(r2_score(y[part, j], line.predict(f[part, i : i + 1])), abs=1e-9)


def test_r2_by_hand():
    """The line y = 2f on the training rows misses the held-out (2, 3) and (3, 7) by 1 each: 1 - 2 / 8."""
    codes = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    factors = torch.tensor([[0.0, 5.0], [2.0, 5.0], [3.0, 6.0], [7.0, 6.0]])
    fitted, held_out = latent_r2(codes, factors, train=torch.tensor([True, True, False, False]))
    assert fitted[0, 0].item() == 1
    assert held_out[0, 0].item() == pytest.approx(0.75)
    assert fitted[0, 1].isnan() and held_out[0, 1].isnan()


def test_quantile_bins_by_hand():
    value = torch.tensor([[3.0], [1.0], [2.0], [4.0]])
    assert quantile_bins(value, 2).flatten().tolist() == [1, 0, 0, 1]
    assert quantile_bins(torch.tensor([[5.0], [5.0], [5.0], [9.0]]), 4).flatten().tolist() == [0, 0, 0, 3]


def bins_of(f, bins):
    """Zeros a bin of their own, the others by how many of them are smaller."""
    some = f[f != 0]
    return np.array([-1 if v == 0 else (some < v).sum() * bins // len(some) for v in f])


def test_mutual_information_equals_sklearn():
    codes, factors, _ = data()
    codes[:, 5] = codes[:, 5].round()
    factors[:, 2] = factors[:, 2].round()
    plain, corrected = (mutual_information(codes, factors, bins=6, correct=c) for c in (False, True))
    for i, j in np.ndindex(8, 3):
        a = bins_of(codes[:, i].numpy(), 6)
        b = quantile_bins(factors, 6)[:, j].numpy()
        assert plain[i, j].item() == pytest.approx(mutual_info_score(a, b), abs=1e-9)
        occupied = [len(set(v)) for v in (a.tolist(), b.tolist(), zip(a, b, strict=True))]
        expected = plain[i, j].item() + (occupied[0] + occupied[1] - occupied[2] - 1) / 1000
        assert corrected[i, j].item() == pytest.approx(expected, abs=1e-9)
    assert plain[3].tolist() == pytest.approx([0, 0, 0], abs=1e-12)


def test_mutual_information_by_hand():
    """A latent that fires on the upper half of the factor knows ln 2; one that is a parabola is seen, too."""
    t = torch.arange(64.0)
    codes = torch.stack([(t >= 32).float(), (t - 31.5) ** 2], dim=1)
    found = mutual_information(codes, t[:, None], bins=4, correct=False)
    assert found[0, 0].item() == pytest.approx(math.log(2))
    assert found[1, 0].item() == pytest.approx(math.log(2))  # which of the inner and outer quarters
    assert latent_r2(codes, t[:, None], train=torch.ones(64, dtype=torch.bool))[0][1, 0].item() == pytest.approx(0)


def test_the_correction_is_unbiased_where_there_is_nothing():
    """Without it the bias is that of 15 x 15 degrees of freedom over twice the rows."""
    g = torch.Generator().manual_seed(0)
    codes, factors = torch.rand(4000, 50, generator=g), torch.rand(4000, 5, generator=g)
    assert mutual_information(codes, factors, correct=False).mean().item() == pytest.approx(225 / 8000, rel=0.03)
    assert abs(mutual_information(codes, factors).mean()) < 0.001


def test_nan_factors_are_refused_and_nothing_fires():
    with pytest.raises(ValueError, match="leave out"):
        mutual_information(torch.ones(2, 1), torch.tensor([[1.0], [torch.nan]]))
    assert mutual_information(torch.zeros(8, 2), torch.arange(8.0)[:, None], correct=False).tolist() == [[0], [0]]


def test_best_for_factors_is_chosen_by_training_scores():
    train = torch.tensor([[0.9, torch.nan], [0.5, torch.nan], [0.95, torch.nan]])
    test = torch.tensor([[0.1, 0.0], [0.8, 0.0], [0.7, 0.0]])
    best = best_for_factors(train, test, alive=torch.tensor([True, True, False]))
    assert best.latent.tolist() == [0, -1]
    assert best.test[0].item() == pytest.approx(0.1)
    assert best.train[1].isnan() and best.test[1].isnan()
