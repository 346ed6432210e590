"""Bits and what they buy: by hand, against scipy, and what Shannon allows."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy

from saelab.analysis.rate import Point, cells, entropy, ev_at, quantise, rate_curve
from saelab.analysis.streams import Parts

N = 20_000


def normal(columns, seed=0):
    return torch.randn(N, columns, generator=torch.Generator().manual_seed(seed))


def alone(dense):
    return Parts(dense[:, :0], dense[:, :0], dense[:0], dense)


def test_quantising_by_hand():
    found = quantise(torch.tensor([[0.4], [0.9], [1.3], [-2.1]]), 1.0)
    assert found.symbol.tolist() == [[0], [1], [1], [-2]]
    torch.testing.assert_close(found.value, torch.tensor([[0.4], [1.1], [1.1], [-2.1]]))


def test_columns_share_no_cell():
    symbol = torch.tensor([[-2, 7], [0, 7], [1, 9]])
    number, size = cells(symbol)
    assert number.tolist() == [[0, 4], [2, 4], [3, 6]] and size == 7


def test_entropy_by_hand_and_scipy():
    """A fair coin, and a constant; Miller's term is 1 / (2 n ln 2)."""
    coin = torch.tensor([[0, 5], [1, 5]] * 50)
    assert entropy(coin) == pytest.approx(1 + 1 / (200 * math.log(2)))
    symbol = (normal(3)[:500] * 2).round().long()
    each = [np.unique(column, return_counts=True)[1] for column in symbol.numpy().T]
    plain = sum(scipy_entropy(count, base=2) for count in each)
    extra = sum(len(count) - 1 for count in each) / (1000 * math.log(2))
    assert entropy(symbol) == pytest.approx(plain + extra)
    assert entropy(symbol[:, :0]) == 0


def test_a_gaussian_costs_a_quarter_bit_more_than_shannon_says():
    """Entropy-coded uniform quantisers reach R(D) + ½ log2(πe / 6) = R(D) + 0.254 bits at high rates."""
    x = normal(1)
    point = rate_curve(x, alone(x), steps=[0.2])[0]
    assert point.bits - 0.5 * math.log2(1 / (1 - point.ev)) == pytest.approx(0.254, abs=0.01)


def test_correlated_columns_are_sent_along_their_axes():
    x = normal(1)
    both = torch.cat([x, x], dim=1)
    one, two = rate_curve(x, alone(x), [0.3])[0], rate_curve(both, alone(both), [0.3 * 2**0.5])[0]
    assert two.bits == pytest.approx(one.bits, abs=0.01) and two.ev == pytest.approx(one.ev, abs=1e-4)


def test_a_rare_constant_code_costs_its_entropy():
    fires = torch.rand(N, 1, generator=torch.Generator().manual_seed(1)) < 0.1
    f, atom = fires.float(), torch.tensor([[0.0, 3.0]])
    point = rate_curve(f @ atom, Parts(f, f[:, :0], atom, torch.zeros(N, 2)), steps=[0.1])[0]
    p = fires.double().mean().item()
    assert point.bits == pytest.approx(-p * math.log2(p) - (1 - p) * math.log2(1 - p), abs=1e-3)
    assert point.ev == pytest.approx(1)


def test_finer_steps_cost_more_and_explain_more():
    x = normal(3) * torch.tensor([3.0, 1.0, 0.3])
    curve = rate_curve(x, alone(x))
    assert all(a.bits <= b.bits and a.ev <= b.ev + 1e-6 for a, b in pairwise(curve))


def test_ev_between_points():
    points = [Point(1, 10, 0.6), Point(0.5, 20, 0.5), Point(0.25, 30, 0.9)]
    assert [ev_at(points, bits) for bits in (0, 5, 10, 20, 30, 99)] == pytest.approx([0, 0.3, 0.6, 0.75, 0.9, 0.9])
