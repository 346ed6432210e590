"""Ranks of weights and codes by hand, and against numpy, scipy and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from saelab.analysis.ranks import code_ranks, spectrum, weight_ranks


def matrix(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_weight_ranks_by_hand():
    """Singular values 4, 2, 1 and 0."""
    W = torch.zeros(5, 4)
    W[0, 1], W[1, 0], W[4, 2] = 4, -2, 1
    r = weight_ranks(W, thresholds=(0.1, 0.5))
    assert r["stable_rank"] == pytest.approx(21 / 16)
    assert r["spectral_entropy"] == pytest.approx(entropy([4, 2, 1]))
    assert r["effective_rank"] == pytest.approx(math.exp(entropy([4, 2, 1])))
    assert r["participation_ratio"] == pytest.approx(49 / 21)
    assert r["matrix_rank"] == 3
    assert r["condition_number"] == math.inf
    assert r["spectral_decay"] == pytest.approx(math.log(4) / 2)
    assert r["effective_dim_ratio"] == pytest.approx(21 / 64)
    assert r["utilization"] == pytest.approx(21 / 48)
    assert (r["rank_0.1"], r["rank_0.5"]) == (3, 2)


def test_weight_ranks_equal_numpy():
    W = matrix(30, 12)
    sigma = np.linalg.svd(W.double().numpy(), compute_uv=False)
    r = weight_ranks(W)
    assert r["stable_rank"] == pytest.approx((np.linalg.norm(W, "fro") / np.linalg.norm(W, 2)) ** 2, rel=1e-5)
    assert r["effective_rank"] == pytest.approx(np.exp(entropy(sigma)))
    assert r["condition_number"] == pytest.approx(np.linalg.cond(W), rel=1e-4)
    assert r["spectral_decay"] == pytest.approx((np.log(sigma[0]) - np.log(sigma[-1])) / 11)
    low = matrix(30, 4) @ matrix(4, 12, seed=1)
    assert weight_ranks(low)["matrix_rank"] == np.linalg.matrix_rank(low) == 4
    assert weight_ranks(W * 7)["stable_rank"] == pytest.approx(r["stable_rank"])


def test_orthonormal_rows_have_full_rank_and_zeros_none():
    Q = torch.linalg.qr(matrix(8, 8))[0]
    r = weight_ranks(Q)
    for name in ("stable_rank", "effective_rank", "participation_ratio", "matrix_rank", "rank_0.1"):
        assert r[name] == pytest.approx(8, rel=1e-5)
    assert r["spectral_decay"] == pytest.approx(0, abs=1e-6)
    nothing = weight_ranks(torch.zeros(3, 2))
    assert nothing["matrix_rank"] == nothing["rank_0.1"] == 0
    for name in ("stable_rank", "effective_rank", "condition_number", "utilization", "spectral_decay"):
        assert math.isnan(nothing[name])
    one = weight_ranks(torch.ones(3, 2))
    assert (one["matrix_rank"], one["spectral_decay"]) == (1, 0)


def test_code_ranks_by_hand():
    """Three latents: two the same, one uncorrelated, one that is always on: correlations' eigenvalues 2, 1, 0."""
    a, b = torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 2, 0, 2])
    codes = torch.stack([a, 3 * a, b, torch.ones(4), torch.zeros(4)], dim=1)
    s = spectrum(codes)
    torch.testing.assert_close(s.eigenvalues, torch.tensor([2.0, 1, 0]).double())
    r = code_ranks(s, energy=(0.6, 2 / 3, 0.7))
    assert (r["rank"], r["constant"], r["high_pairs"]) == (2, 2, 1)
    assert r["stable_rank"] == pytest.approx(1.5)
    assert (r["components_0.6"], r["components_0.666667"], r["components_0.7"]) == (1, 1, 2)
    assert r["condition_number"] == pytest.approx(2**0.5)
    assert r["participation_ratio"] == pytest.approx(9 / 5)
    assert r["entropy"] == pytest.approx(entropy([2, 1]))
    assert r["redundancy"] == pytest.approx(1 / 3)
    assert r["max_correlation"] == pytest.approx(1)
    assert r["mean_correlation"] == pytest.approx(1 / 3)


def test_code_ranks_equal_numpy_and_sklearn():
    codes = (matrix(200, 6) @ matrix(6, 15, seed=1) + 0.3 * matrix(200, 15, seed=2)).relu()
    codes[:, 4] = 0
    x = StandardScaler().fit_transform(np.delete(codes.double().numpy(), 4, axis=1))
    share = PCA().fit(x).explained_variance_ratio_
    correlation = np.abs(np.corrcoef(x.T)[np.triu_indices(14, 1)])
    sigma = np.linalg.svd(x, compute_uv=False)
    r = code_ranks(spectrum(codes), high=0.5)
    for e in (0.9, 0.95, 0.99):
        assert r[f"components_{e}"] == np.searchsorted(share.cumsum(), e) + 1
    assert r["rank"] == np.linalg.matrix_rank(x)
    assert r["stable_rank"] == pytest.approx((sigma**2).sum() / sigma[0] ** 2)
    assert r["condition_number"] == pytest.approx(np.linalg.cond(x))
    assert r["participation_ratio"] == pytest.approx(1 / (share**2).sum())
    assert r["entropy"] == pytest.approx(entropy(share))
    assert (r["high_pairs"], r["constant"]) == ((correlation > 0.5).sum(), 1)
    assert r["max_correlation"] == pytest.approx(correlation.max())
    assert r["mean_correlation"] == pytest.approx(correlation.mean())


def test_code_ranks_of_nothing_and_of_one():
    nothing = code_ranks(spectrum(torch.ones(5, 3)))
    assert nothing["constant"] == 3
    assert math.isnan(nothing["rank"])
    one = code_ranks(spectrum(torch.tensor([[1.0], [0.0]])))
    assert (one["rank"], one["stable_rank"], one["components_0.9"]) == (1, 1, 1)
    assert math.isnan(one["max_correlation"])
