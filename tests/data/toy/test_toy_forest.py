"""Trees: who is whose child, rates that follow from those above, siblings that exclude each other."""

import pytest
import torch

from saelab.data import rng
from saelab.data.toy.forest import Forest

ITEM = rng.bits(rng.key("test"), torch.arange(50_000))


def grown(forest, rates, given):
    fires = rng.uniform(rng.bits(rng.key("roots"), ITEM[:, None], torch.arange(len(rates)))) < rates
    forest.grow_(fires, given.float(), ITEM)
    return fires


def test_layout_by_hand():
    forest = Forest(trees=2, branching=3, depth=2, n_features=30)
    assert forest.size == 2 + 6 + 18
    assert forest.levels == [slice(0, 2), slice(2, 8), slice(8, 26)]
    child, parent = forest.parents()
    assert child.tolist() == list(range(2, 26))
    assert parent.tolist() == [0] * 3 + [1] * 3 + [i for i in range(2, 8) for _ in range(3)]
    none = Forest(trees=0, branching=3, depth=2, n_features=5)
    assert (none.size, none.levels, none.pairs()) == (0, [], [])


def test_conditional_rates_by_hand():
    """A root at 0.4 whose children want 0.1 each: q = 1/4. At 0.3 each they may fire on 3/4 of its rows: q = 1/4."""
    forest = Forest(trees=1, branching=3, depth=1, n_features=5)
    rates = torch.tensor([0.4, 0.1, 0.1, 0.1, 0.9], dtype=torch.float64)
    given = forest.conditioned(rates, 0.25)
    torch.testing.assert_close(given, torch.tensor([1, 0.25, 0.25, 0.25, 1], dtype=torch.float64))
    torch.testing.assert_close(forest.marginal(rates, given), rates)
    rates[1:4] = torch.tensor([0.3, 0.2, 0.1])
    given = forest.conditioned(rates, 0.25)
    torch.testing.assert_close(given[1:4], torch.tensor([0.375, 0.25, 0.125], dtype=torch.float64))
    torch.testing.assert_close(forest.marginal(rates, given)[1:4].sum(), torch.tensor(0.3, dtype=torch.float64))


def test_grandchildren_are_conditioned_on_what_is_left():
    forest = Forest(trees=1, branching=1, depth=2, n_features=3)
    rates = torch.tensor([0.5, 0.5, 0.5], dtype=torch.float64)
    given = forest.conditioned(rates, 0.2)
    torch.testing.assert_close(given, torch.tensor([1, 0.8, 0.8], dtype=torch.float64))
    expected = torch.tensor([0.5, 0.4, 0.32], dtype=torch.float64)
    torch.testing.assert_close(forest.marginal(rates, given), expected)


def test_a_forest_as_drawn():
    forest = Forest(trees=3, branching=2, depth=2, n_features=25)
    rates = torch.linspace(0.5, 0.05, 25, dtype=torch.float64)
    given = forest.conditioned(rates, 0.1)
    fires = grown(forest, rates, given)
    child, parent = forest.parents()
    assert not (fires[:, child] & ~fires[:, parent]).any()
    for above, level in forest.pairs():
        siblings = fires[:, level].unflatten(1, (-1, 2)).sum(2)
        assert siblings.max() == 1
        assert siblings.shape[1] == above.stop - above.start
    p = forest.marginal(rates, given)
    error = (fires.double().mean(0) - p).abs() / (p * (1 - p) / len(ITEM)).sqrt()
    assert error.max() < 4.5


def test_always_a_child():
    forest = Forest(trees=1, branching=3, depth=1, n_features=4)
    rates = torch.tensor([0.5, 0.3, 0.3, 0.3], dtype=torch.float64)
    fires = grown(forest, rates, forest.conditioned(rates, 0.0))
    assert torch.equal(fires[:, 1:].any(1), fires[:, 0])
    silent = grown(forest, rates, forest.conditioned(rates, 1.0))
    assert not silent[:, 1:].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trees": -1}, "trees=-1 is too small"),
        ({"branching": 0}, "branching=0 is too small; it must be at least 1"),
        ({"depth": 0}, "depth=0 is too small"),
        ({"trees": 4}, "trees=4, branching=3, depth=2 take 52 features, but n_features=30; lower them, or raise"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Forest(**{"trees": 2, "branching": 3, "depth": 2, "n_features": 30} | arguments)
