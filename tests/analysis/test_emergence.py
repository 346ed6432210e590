"""When concepts emerge and vanish, by hand and against loops; Kendall's W against its definition."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import friedmanchisquare

from saelab.analysis.emergence import concordance, emergence, history

TABLE = {"a": [0, 1, 1, 1], "b": [1, 1, 0, 1], "c": [0, 0, 0, 0], "d": [0, 1, 0, 0]}
STEPS = [0, 10, 20, 40]


def rows(table=TABLE, steps=STEPS):
    return [(step, name, bool(on)) for name, column in table.items() for step, on in zip(steps, column, strict=True)]


def test_history_is_sorted_by_step():
    h = history(reversed(rows()))
    assert h.steps.tolist() == STEPS
    assert h.concepts == ("d", "c", "b", "a")
    assert h.recovered.T.tolist() == [[bool(v) for v in TABLE[name]] for name in h.concepts]


def test_history_refuses_holes_and_doubles():
    with pytest.raises(ValueError, match="step 40 has no row for concept 'd'"):
        history(rows()[:-1])
    with pytest.raises(ValueError, match="given twice"):
        history([*rows(), (10, "a", True)])


def test_emergence_by_hand():
    e = emergence(history(rows()))
    assert e.first[[0, 1, 3]].tolist() == [10, 0, 10]
    assert e.last[[0, 1, 3]].tolist() == [40, 40, 10]
    assert e.settled[:2].tolist() == [10, 40]
    assert e.settled[2:].isnan().all()
    assert e.first[2].isnan() and e.last[2].isnan()
    assert e.share.tolist() == [0.75, 0.75, 0, 0.25]
    assert e.lost.tolist() == [0, 1, 0, 1]
    assert e.rank.tolist() == [2.5, 1, 4, 2.5]


def test_emergence_equals_loops():
    on = torch.rand(7, 30, generator=torch.Generator().manual_seed(0)) < 0.5
    steps = [3 * i + 1 for i in range(7)]
    e = emergence(history(rows({str(c): on[:, c].tolist() for c in range(30)}, steps)))
    for c in range(30):
        at = [s for s, v in zip(steps, on[:, c].tolist(), strict=True) if v]
        assert (e.first[c].item(), e.last[c].item()) == (at[0], at[-1])
        assert e.lost[c] == sum(a and not b for a, b in zip(on[:-1, c], on[1:, c], strict=True))
        tail = 0
        while tail < 7 and on[6 - tail, c]:
            tail += 1
        assert e.settled[c].isnan() if tail == 0 else e.settled[c] == steps[7 - tail]


def test_a_single_step():
    e = emergence(history([(5, "a", True), (5, "b", False)]))
    assert e.first[0] == e.settled[0] == 5
    assert e.lost.tolist() == [0, 0]


def test_concordance_by_hand():
    assert concordance(torch.tensor([[1.0, 2, 3], [1, 2, 3]])) == pytest.approx(1)
    assert concordance(torch.tensor([[1.0, 2, 3], [3, 2, 1]])) == pytest.approx(0)
    assert math.isnan(concordance(torch.full((2, 3), 2.0)))


def test_concordance_is_friedmans_statistic():
    """Both correct for ties: W = χ² / (k (c - 1))."""
    rank = torch.tensor([[1.0, 2.5, 2.5, 4, 5], [2, 1, 3, 5, 4], [1.5, 1.5, 3, 4, 5], [1, 3, 2, 4, 5]])
    statistic = friedmanchisquare(*rank.numpy().T).statistic
    assert concordance(rank) == pytest.approx(statistic / (4 * 4))
    assert np.isfinite(statistic)
