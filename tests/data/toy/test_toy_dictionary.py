"""Directions of norm one, overlaps that fall, subspaces at the angle asked for."""

import math

import pytest
import torch

from saelab.data import rng
from saelab.data.toy.dictionary import dct_rows, dictionary, less_coherent, orthonormal, subspace_at

KEY = rng.key("test")


def overlaps(v):
    return (v.double() @ v.double().T).fill_diagonal_(0).abs()


def angles(a, b):
    """Principal angles between two subspaces given by orthonormal rows, in degrees."""
    cos = torch.linalg.svdvals(a.double() @ b.double().T).clamp(max=1)
    return torch.rad2deg(torch.acos(cos))


def test_rows_are_units_uniform_on_the_sphere():
    v = dictionary(KEY, 4000, torch.eye(6, dtype=torch.float64), 0)
    torch.testing.assert_close(v.norm(dim=1), torch.ones(4000), atol=2e-6, rtol=0)
    assert v.mean(0).abs().max() < 0.03
    torch.testing.assert_close(v.T @ v / 4000, torch.eye(6) / 6, atol=0.015, rtol=0)


def test_decohering_lowers_overlaps():
    largest = [overlaps(dictionary(KEY, 200, torch.eye(32, dtype=torch.float64), n)).max() for n in (0, 10, 50)]
    assert largest[0] > 1.2 * largest[1] > 1.2 * 1.2 * largest[2]
    few = dictionary(KEY, 32, torch.eye(32, dtype=torch.float64), 1)
    assert overlaps(few).max() < 1e-5


def test_a_step_by_hand():
    """Two units at 60 degrees: o = 1/2, so v1 - (o^3 / o^2) v2 = v1 - v2 / 2, which is orthogonal to v2."""
    v = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(3) / 2]], dtype=torch.float64)
    moved = less_coherent(v)
    expected = torch.stack([v[0] - v[1] / 2, v[1] - v[0] / 2])
    torch.testing.assert_close(moved, expected / expected.norm(dim=1, keepdim=True))


def test_a_step_equals_naive_loops():
    v = dictionary(KEY, 9, torch.eye(4, dtype=torch.float64), 0).double()
    expected = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        weight = sum((v[i] @ v[j]) ** 2 for j in others)
        row = v[i] - sum((v[i] @ v[j]) ** 3 * v[j] for j in others) / weight
        expected.append(row / row.norm())
    torch.testing.assert_close(less_coherent(v), torch.stack(expected))


def test_dct_rows():
    c = dct_rows(5, 16)
    torch.testing.assert_close(c @ c.T, torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(c[0], torch.full((16,), 0.25, dtype=torch.float64))
    assert [(row[1:] * row[:-1] < 0).sum().item() for row in c] == [0, 1, 2, 3, 4]  # sign changes: smooth first


@pytest.mark.parametrize("angle", [0, 20, 60, 90])
@pytest.mark.parametrize(("k", "m"), [(3, 5), (3, 3), (4, 2), (2, 8)])
def test_every_principal_angle_is_the_one_asked_for(angle, k, m):
    dense = orthonormal(KEY, k, 12)
    basis = subspace_at(rng.key("other"), dense, m, angle)
    torch.testing.assert_close(basis @ basis.T, torch.eye(m, dtype=torch.float64))
    expected = torch.full((min(k, m),), float(angle), dtype=torch.float64)
    torch.testing.assert_close(angles(dense, basis), expected, atol=1e-5, rtol=0)


def test_without_an_angle_subspaces_are_random():
    dense, basis = orthonormal(KEY, 3, 40), subspace_at(rng.key("other"), orthonormal(KEY, 3, 40), 3, None)
    found = angles(dense, basis)
    assert found.min() > 45 and found.max() < 89.99
    assert subspace_at(KEY, dense, 40, None).shape == (40, 40)
