"""Which latents are selective and pure, which concepts are recovered: by hand, and against loops."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from saelab.analysis.concepts import Univariate, univariate
from saelab.analysis.selectivity import assign, dead, detected, recovered, selectivity


def scored(test, alive, train=None):
    test = torch.tensor(test, dtype=torch.float64)
    s = len(test)
    return Univariate(
        test if train is None else torch.tensor(train, dtype=torch.float64),
        test,
        torch.ones_like(test).long(),
        torch.tensor(alive),
        torch.ones(s, dtype=torch.float64),
    )


BY_HAND = scored([[0.99, 0.5], [0.97, 0.96], [0.6, 0.9], [0.999, 0.5]], [True, True, True, False])


def test_assignment_by_hand():
    """Latent 1 exceeds 0.95 twice, so it is not pure; latent 3 is dead whatever its scores."""
    a = assign(BY_HAND)
    assert a.concept.tolist() == [0, 0, 1, -1]
    assert a.selective.tolist() == [True, True, True, False]
    assert a.pure.tolist() == [True, False, False, False]
    assert a.auc[:3].tolist() == [0.99, 0.97, 0.9]
    assert a.auc[3].isnan()
    assert dead(BY_HAND).tolist() == [3]
    assert recovered(a, 3).tolist() == [True, False, False]
    assert detected(a, 3).tolist() == [True, True, False]


def test_selectivity_by_hand():
    s = selectivity(BY_HAND)
    assert (s["selective"], s["dead"]) == (0.75, 0.25)  # of all four latents
    assert (s["pure"], s["recovered"], s["detected"], s["coverage"], s["redundancy"]) == (1, 1, 2, 2, 2)
    assert s["mean_best_auc"] == s["top10_auc"] == pytest.approx((0.99 + 0.97 + 0.9) / 3)
    assert s["entropy"] == pytest.approx(entropy([2, 1]))
    assert s["overfitting"] == 0


def test_thresholds_are_exceeded_not_reached():
    exact = scored([[0.95, 0.85]], [True])
    assert assign(exact).pure.tolist() == [False]
    assert assign(exact, pure=0.9).pure.tolist() == [True]
    assert assign(scored([[0.85, 0.1]], [True])).selective.tolist() == [False]
    assert assign(scored([[0.85, 0.1]], [True]), selective=0.8).selective.tolist() == [True]


def test_nothing_alive_and_nothing_known():
    for empty in (scored([[0.9, 0.9]], [False]), scored([[math.nan, math.nan]], [True])):
        s = selectivity(empty)
        assert math.isnan(s["mean_best_auc"])
        assert math.isnan(s["top10_auc"])
        for name in ("selective", "coverage", "redundancy", "recovered", "detected", "pure", "entropy"):
            assert s[name] == 0


def test_a_concept_without_held_out_rows_does_not_spoil_the_others():
    a = assign(scored([[math.nan, 0.96], [math.nan, 0.2]], [True, True]))
    assert a.concept.tolist() == [1, 1]
    assert a.pure.tolist() == [True, False]


def test_selectivity_equals_loops():
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (600,), generator=g)
    codes = (torch.randn(600, 40, generator=g) + 3 * torch.randn(4, 40, generator=g)[y] + 2).relu()
    codes[:, 5:9] = 0
    train = torch.rand(600, generator=g) < 0.5
    scores = univariate(codes, torch.nn.functional.one_hot(y).bool(), train=train)
    test, fitted = scores.test.numpy(), scores.train.numpy()
    living = [i for i in range(40) if i not in range(5, 9)]
    best = {i: int(test[i].argmax()) for i in living}
    counts = [sum(b == c for b in best.values()) for c in range(4)]
    pure = [i for i in living if sum(a > 0.95 for a in test[i]) == 1]
    assert selectivity(scores) == pytest.approx(
        {
            "dead": 0.1,
            "selective": sum(test[i].max() > 0.85 for i in living) / 40,
            "mean_best_auc": np.mean([test[i].max() for i in living]),
            "mean_best_auc_train": np.mean([fitted[i].max() for i in living]),
            "overfitting": np.mean([fitted[i].max() - test[i].max() for i in living]),
            "top10_auc": np.mean(sorted(test[i].max() for i in living)[-10:]),
            "coverage": sum(c > 0 for c in counts),
            "redundancy": max(counts),
            "entropy": entropy(counts),
            "pure": len(pure),
            "recovered": len({best[i] for i in pure}),
            "detected": len({best[i] for i in living if test[i].max() > 0.85}),
        }
    )
    assert 0 < len(pure) < len(living)
