"""Firing rates within binomial error, correlations of the right sign and size, exactly k."""

import math

import pytest
import torch

from saelab.data import rng
from saelab.data.toy.firing import Bernoulli, ExactlyK, equal_rates, zipf_rates
from saelab.data.toy.forest import Forest

N = 40_000
ITEM = rng.bits(rng.key("test"), torch.arange(N))


def bernoulli(rates, *, correlation=0.0, rank=1, **trees):
    forest = Forest(**{"trees": 0, "branching": 2, "depth": 1, "n_features": len(rates)} | trees)
    given = forest.conditioned(rates, 0.25)
    return Bernoulli(rates, given, forest, correlation=correlation, rank=rank, stream=rng.key("s"))


def errors(fires, rates):
    """Distances from the rates in standard deviations of the binomial."""
    return (fires.double().mean(0) - rates).abs() / (rates * (1 - rates) / len(fires)).sqrt()


def test_zipf_by_hand():
    """i^-1 = 1, 1/2, 1/3, 1/4 stretched from 0.4 to 0.1: 0.1 + 0.3 (1/i - 1/4) / (3/4)."""
    expected = torch.tensor([0.4, 0.2, 0.1 + 0.3 / 9, 0.1], dtype=torch.float64)
    torch.testing.assert_close(zipf_rates(4, 0.4, 0.1, 1.0), expected)
    assert zipf_rates(1, 0.4, 0.1, 1.0).tolist() == [0.4]
    assert equal_rates(3, 0.2).tolist() == [0.2] * 3


def test_rates_within_binomial_error():
    firing = bernoulli(zipf_rates(60, 0.5, 0.01, 0.7))
    fires = firing.draw(ITEM)
    assert errors(fires, firing.rates).max() < 4.5
    together = torch.corrcoef(fires.T.float()) - torch.eye(60)
    assert together.abs().max() < 5 / math.sqrt(N)


@pytest.mark.parametrize("correlation", [0.3, 0.9])
def test_a_copula_keeps_the_rates_and_correlates(correlation):
    """Of rank one: every pair of features has +c or -c, and firing is correlated with that sign."""
    firing = bernoulli(torch.full((12,), 0.3, dtype=torch.float64), correlation=correlation)
    fires = firing.draw(ITEM)
    assert errors(fires, firing.rates).max() < 4.5
    sign = firing._loadings @ firing._loadings.T
    assert set(sign.unique().tolist()) == {-1.0, 1.0}
    observed = torch.corrcoef(fires.T.float())
    off = ~torch.eye(12, dtype=torch.bool)
    assert (observed[off].sign() == sign[off].sign()).all()
    assert observed[off].abs().min() > 0.15 * correlation


def test_the_copula_has_the_correlation_it_says():
    """At rates of one half, P(both) = 1/4 + asin(ρ) / 2π (Sheppard 1899)."""
    firing = bernoulli(torch.full((8,), 0.5, dtype=torch.float64), correlation=0.6, rank=3)
    fires = firing.draw(ITEM).double()
    rho = 0.6 * (firing._loadings @ firing._loadings.T).double()
    both = fires.T @ fires / N
    off = ~torch.eye(8, dtype=torch.bool)
    expected = 0.25 + rho.asin() / math.tau
    assert (both - expected)[off].abs().max() < 4.5 * math.sqrt(0.25 / N)


def test_children_follow_their_correlated_parents():
    rates = torch.tensor([0.4, 0.4, *[0.1] * 4, 0.2], dtype=torch.float64)
    firing = bernoulli(rates, correlation=0.8, trees=2)
    fires = firing.draw(ITEM)
    assert errors(fires, firing.rates).max() < 4.5
    assert not (fires[:, 2:4] & ~fires[:, :1]).any()
    assert not (fires[:, 4:6] & ~fires[:, 1:2]).any()
    assert not (fires[:, 2] & fires[:, 3]).any()


def test_certain_and_impossible_features():
    fires = bernoulli(torch.tensor([0.0, 1.0], dtype=torch.float64)).draw(ITEM)
    assert fires.double().mean(0).tolist() == [0.0, 1.0]
    fires = bernoulli(torch.tensor([0.0, 1.0], dtype=torch.float64), correlation=0.5).draw(ITEM)
    assert fires.double().mean(0).tolist() == [0.0, 1.0]


def test_exactly_k():
    firing = ExactlyK(30, 4, replace=False)
    fires = firing.draw(ITEM)
    assert (fires.sum(1) == 4).all()
    assert errors(fires, firing.rates).max() < 4.5
    assert (ExactlyK(5, 5, replace=False).draw(ITEM)).all()


def test_with_replacement_sometimes_fewer():
    firing = ExactlyK(50, 3, replace=True)
    fires = firing.draw(ITEM)
    fewer = (fires.sum(1) < 3).double().mean().item()
    assert fires.sum(1).max() == 3
    assert fewer == pytest.approx(1 - 49 * 48 / 2500, abs=4.5 * math.sqrt(0.06 / N))  # the reference saw 6.0 %
    assert errors(fires, firing.rates).max() < 4.5


@pytest.mark.parametrize("k", [0, 6])
def test_k_is_a_number_of_features(k):
    with pytest.raises(ValueError, match=rf"k={k} is out of range; it must lie in \[1, 5\]"):
        ExactlyK(5, k, replace=True)


def test_rates_are_probabilities():
    with pytest.raises(ValueError, match=r"p=1.2 is out of range; it must lie in \[0, 1\]"):
        equal_rates(5, 1.2)
    with pytest.raises(ValueError, match=r"p_min=0.5 is out of range; it must lie in \[0, 0.4\]"):
        zipf_rates(5, 0.4, 0.5, 1.0)
    with pytest.raises(ValueError, match="zipf_exponent=0 is too small; it must be greater than 0"):
        zipf_rates(5, 0.4, 0.1, 0)
