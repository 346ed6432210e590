"""The explained variance of the truth itself."""

import pytest
import torch

from saelab.analysis.oracle import add, ideal, oracle_ev, spread, strongest, variance
from saelab.data import Toy


def test_variance_by_hand_and_in_parts():
    y = torch.tensor([[0.0, 0.0], [2.0, 4.0], [4.0, 2.0]])  # mean (2, 2): 8, 4 and 4 away
    assert variance(spread(y)).item() == pytest.approx(16 / 3)
    assert variance(add(spread(y[:1]), spread(y[1:]))).item() == pytest.approx(16 / 3)


def test_the_strongest_features_by_hand():
    energy = torch.tensor([1.0, 5.0, 2.0, 9.0])
    assert strongest(energy, 2).tolist() == [1, 3]
    assert strongest(energy, 9).tolist() == [0, 1, 2, 3]


def test_what_is_kept_is_explained_by_hand():
    """Orthonormal features that fire apart: of variances 1/4 · (1, 4) the stronger alone explains 4/5 of their sum."""
    codes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]])
    features = torch.eye(3)[:2]
    x = codes @ features + torch.tensor([0.0, 0.0, 7.0])  # a constant costs nothing
    assert torch.equal(
        ideal(codes, features, torch.tensor([1])), torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 2, 0], [0, 2, 0]])
    )
    for kept, ev in (([0, 1], 1.0), ([1], 0.8), ([0], 0.2)):
        residual = x - ideal(codes, features, torch.tensor(kept))
        assert oracle_ev(spread(x), spread(residual)).item() == pytest.approx(ev)


def test_noise_bounds_the_oracle():
    source = Toy(d=16, n_features=40, noise_std=0.1)
    batch = source.batch("test", torch.arange(5000))
    assert source.dictionary is not None
    residual = batch.x - ideal(batch.parts["sparse"], source.dictionary, torch.arange(40))
    ev = oracle_ev(spread(batch.x), spread(residual)).item()
    assert ev == pytest.approx(1 - 16 * 0.01 / variance(spread(batch.x)).item(), abs=0.005)
