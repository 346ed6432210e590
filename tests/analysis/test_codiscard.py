"""Co-discarding by hand, against scikit-learn and Fisher's exact test, and planted groups."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import false_discovery_control, fisher_exact, hypergeom
from sklearn.metrics import jaccard_score, matthews_corrcoef

from saelab.analysis import codiscard
from saelab.analysis.codiscard import adjusted, clustered_order, jaccard, permutation_null, phi


def random_table(r=40, c=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    common = torch.rand(r, 1, generator=g)
    return torch.rand(r, c, generator=g) * 0.6 + common * 0.4 < torch.linspace(0.3, 0.7, c)


def test_phi_and_jaccard_by_hand():
    d = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]]).bool()
    assert phi(d)[0, 1].item() == pytest.approx((4 * 1 - 2 * 1) / math.sqrt(2 * 2 * 1 * 3))
    assert phi(d)[0, 2].item() == -1
    assert phi(d)[:, 3].isnan().all()  # always discarded
    assert jaccard(d)[0, 1].item() == 0.5
    assert jaccard(d)[0, 2].item() == 0
    assert jaccard(torch.zeros(3, 2).bool()).isnan().all()


def test_phi_and_jaccard_equal_sklearn():
    d = random_table()
    for a, b in combinations(range(5), 2):
        x, y = d[:, a].numpy(), d[:, b].numpy()
        assert phi(d)[a, b].item() == pytest.approx(matthews_corrcoef(x, y))
        assert jaccard(d)[a, b].item() == pytest.approx(jaccard_score(x, y))


def test_the_null_is_fishers_exact_test(monkeypatch):
    d = random_table(24)
    monkeypatch.setattr(codiscard, "BLOCK", 24 * 5 * 700)  # in several parts
    null = permutation_null(d, times=20_000)
    for a, b in combinations(range(5), 2):
        x, y = d[:, a].numpy(), d[:, b].numpy()
        table = [[(x & y).sum(), (x & ~y).sum()], [(~x & y).sum(), (~x & ~y).sum()]]
        for found, side in ((null.together, "greater"), (null.apart, "less")):
            assert found[a, b].item() == pytest.approx(fisher_exact(table, alternative=side).pvalue, abs=0.015)
            assert found[a, b] == found[b, a]
        assert null.expected[a, b].item() == pytest.approx(x.sum() * y.sum() / 24, abs=0.05)
    assert null.together.diagonal().isnan().all()


def test_strata_are_not_crossed():
    """All is discarded in one stratum and nothing in the other: together by setting, and by nothing else."""
    strata = torch.tensor([5, 2]).repeat(20)
    d = (strata == 5)[:, None] & torch.ones(3, dtype=torch.bool)
    assert permutation_null(d, times=500).together[0, 1] < 0.01
    within = permutation_null(d, strata=strata, times=500)
    assert within.together[0, 1] == within.apart[0, 1] == 1
    assert within.expected[0, 1] == 20


def test_two_strata_are_a_convolution_of_hypergeometrics():
    d = random_table(30, 2, seed=3)
    strata = torch.arange(30) % 2
    null = permutation_null(d, strata=strata, times=20_000)
    parts = []
    for k in range(2):
        x, y = d[strata == k].numpy().T
        parts.append(hypergeom(15, x.sum(), y.sum()).pmf(np.arange(16)))
    chance = np.convolve(*parts)
    seen = int((d[:, 0] & d[:, 1]).sum())
    assert null.together[0, 1].item() == pytest.approx(chance[seen:].sum(), abs=0.015)
    assert null.apart[0, 1].item() == pytest.approx(chance[: seen + 1].sum(), abs=0.015)


def test_p_is_never_zero_and_q_is_benjamini_hochbergs():
    d = torch.cat([torch.ones(30, 2), torch.zeros(30, 2)]).bool()
    assert permutation_null(d, times=99).together[0, 1].item() == pytest.approx(0.01)
    p = torch.tensor([[torch.nan, 0.01, 0.04], [0.01, torch.nan, 0.5], [0.04, 0.5, torch.nan]])
    expected = false_discovery_control([0.01, 0.04, 0.5])
    assert adjusted(p)[0, 1].item() == pytest.approx(expected[0])
    assert adjusted(p)[2, 0].item() == pytest.approx(expected[1])
    assert adjusted(p)[2, 1].item() == pytest.approx(expected[2])


def test_clustered_order_puts_like_concepts_side_by_side():
    d = random_table(60, 6, seed=1)
    d[:, 3], d[:, 4], d[:, 5] = d[:, 0], d[:, 1], d[:, 2]
    d[0, 3] ^= True
    order = clustered_order(phi(d)).tolist()
    assert sorted(order) == list(range(6))
    for a, b in ((0, 3), (1, 4), (2, 5)):
        assert abs(order.index(a) - order.index(b)) == 1
    assert clustered_order(torch.full((4, 4), torch.nan)).sort().values.tolist() == [0, 1, 2, 3]
    assert clustered_order(torch.ones(2, 2)).tolist() == [0, 1]
