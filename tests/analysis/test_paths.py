"""Concept paths and their overlaps: by hand, and against loops over rows."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from saelab.analysis.overlaps import (
    concept_overlaps,
    different,
    mean_over_pairs,
    overlap_summary,
    pair_overlaps,
)
from saelab.analysis.paths import concept_paths, path_summary, usage

CODES = torch.tensor([[4.0, 3.0, 2.0, 1.0, -9.0], [0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 7.0, 0.0, 7.0, 7.0]])


def sets(paths):
    return [set(row.nonzero()[:, 0].tolist()) for row in paths]


def test_paths_by_hand():
    assert sets(concept_paths(CODES, rule="top_k", value=2)) == [{0, 1}, set(), {1, 3}]
    assert sets(concept_paths(CODES, rule="top_k", value=9)) == [{0, 1, 2, 3}, set(), {1, 3, 4}]
    assert sets(concept_paths(CODES, rule="percentile", value=50)) == [{0, 1}, set(), {1, 3, 4}]
    assert sets(concept_paths(CODES, rule="percentile", value=0)) == [{0, 1, 2, 3}, set(), {1, 3, 4}]
    assert sets(concept_paths(CODES, rule="std", value=1.0)) == [{0}, set(), {1, 3, 4}]  # 2.5 + 1.118
    assert sets(concept_paths(CODES, rule="absolute", value=2.0)) == [{0, 1, 2}, set(), {1, 3, 4}]
    assert sets(concept_paths(CODES, rule="absolute", value=2.0, min_act=3.5)) == [{0}, set(), {1, 3, 4}]
    assert sets(concept_paths(CODES, rule="absolute", value=1.0, min_act=3.0)) == [{0, 1}, set(), {1, 3, 4}]
    for refused in ({"rule": "best"}, {"min_act": 0.0}, {"rule": "percentile", "value": 101}):
        with pytest.raises((ValueError, TypeError)):
            concept_paths(CODES, **refused)


def loop_paths(codes, rule, value, min_act):
    found = []
    for f in codes.double().numpy():
        valid = np.flatnonzero(f >= min_act)
        if not len(valid):
            found.append(set())
            continue
        if rule == "top_k":
            kept = valid[np.argsort(-f[valid], kind="stable")][: int(value)]
        elif rule == "percentile":
            kept = valid[f[valid] >= np.percentile(f[valid], value)]
        else:
            kept = valid[f[valid] >= f[valid].mean() + value * f[valid].std()]
        found.append(set(kept.tolist()))
    return found


@pytest.mark.parametrize(("rule", "value"), [("top_k", 4), ("percentile", 90), ("percentile", 37.5), ("std", 1.5)])
@pytest.mark.parametrize("min_act", [1e-5, 0.5])
def test_paths_equal_a_loop(rule, value, min_act):
    g = torch.Generator().manual_seed(0)
    codes = torch.randn(80, 30, generator=g).where(torch.rand(80, 30, generator=g) < 0.4, 0.0)
    codes[:10] = codes[:10].round()
    codes[5] = 0
    assert sets(concept_paths(codes, rule=rule, value=value, min_act=min_act)) == loop_paths(
        codes, rule, value, min_act
    )


def test_path_summary_and_usage_by_hand():
    paths = concept_paths(CODES, rule="top_k", value=2)
    s = path_summary(paths, CODES)
    assert (s.rows, s.mean, s.median, s.min, s.max) == (3, pytest.approx(4 / 3), 2, 0, 2)
    assert s.std == pytest.approx(np.std([2, 0, 2]))
    assert s.mean_activation == pytest.approx((7 + 0 + 14) / 3)
    assert s.used.tolist() == [True, True, False, True, False]
    assert s.frequent.tolist() == [1, 0, 3]
    one = path_summary(paths, CODES, torch.tensor([False, False, True]))
    assert (one.rows, one.mean, one.used.sum()) == (1, 2, 2)
    with pytest.raises(ValueError, match="no rows"):
        path_summary(paths, CODES, torch.zeros(3, dtype=torch.bool))
    h = usage(paths, torch.tensor([[True, False, True], [True, False, False], [False, False, True]]))
    assert h[0].tolist() == [0.5, 0.5, 0, 0, 0]
    assert h[1].isnan().all()
    assert h[2].tolist() == [0.5, 1, 0, 0.5, 0]


def some(n=60, s=20, c=4):
    g = torch.Generator().manual_seed(1)
    paths = torch.rand(n, s, generator=g) < 0.15
    paths[:3] = False
    y = torch.randint(0, c - 1, (n,), generator=g)  # the last concept has no rows
    return paths, torch.nn.functional.one_hot(y, c).bool()


def test_concept_overlaps_equal_sets():
    paths, onehot = some()
    found = concept_overlaps(paths, onehot)
    unions = [set().union(*(p for p, on in zip(sets(paths), column, strict=True) if on)) for column in onehot.T]
    assert not unions[3]
    for a, b in combinations(range(3), 2):
        A, B = unions[a], unions[b]
        assert found.shared[a, b] == len(A & B)
        assert found.jaccard[a, b].item() == pytest.approx(len(A & B) / len(A | B))
        assert found.fraction[a, b].item() == pytest.approx(len(A & B) / len(A))
        assert found.unique[a, b] == len(A - B)
        assert found.unique[b, a] == len(B - A)
    assert found.fraction[3].isnan().all()
    assert found.jaccard[3, 3].isnan()
    assert mean_over_pairs(found.jaccard[:3, :3]) == pytest.approx(
        np.mean([len(unions[a] & unions[b]) / len(unions[a] | unions[b]) for a, b in combinations(range(3), 2)])
    )
    assert math.isnan(mean_over_pairs(torch.ones(1, 1)))


def test_pair_overlaps_are_drawn_from_all_pairs():
    """Over all pairs of rows that have paths the means are known."""
    paths, onehot = some()
    for rows in (None, onehot[:, 0]):
        kept = [p for i, p in enumerate(sets(paths)) if p and (rows is None or rows[i])]
        pairs = list(combinations(kept, 2))
        found = pair_overlaps(paths, pairs=40_000, rows=rows)
        assert found.shared.mean().item() == pytest.approx(np.mean([len(a & b) for a, b in pairs]), rel=0.05)
        expected = np.mean([len(a & b) / len(a | b) for a, b in pairs])
        assert found.jaccard.mean().item() == pytest.approx(expected, rel=0.05)
        assert found.shared.max() == max(len(a & b) for a, b in pairs)


def test_pairs_are_of_different_rows():
    first, second = different(4, 5000, 0)
    assert (first != second).all()
    assert len({(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)}) == 12


def test_overlap_summary_by_hand_and_of_nothing():
    paths = torch.tensor([[True, True, False], [True, False, True], [False, False, False]])
    summary = overlap_summary(pair_overlaps(paths, pairs=7))
    assert (summary["pairs"], summary["mean_shared"], summary["std_shared"]) == (7, 1, 0)
    assert summary["median_jaccard"] == pytest.approx(1 / 3)
    nothing = overlap_summary(pair_overlaps(paths[1:]))
    assert nothing["pairs"] == 0
    assert math.isnan(nothing["max_jaccard"])
