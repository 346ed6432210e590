"""Directions of a concept, beside scikit-learn's, and activations without them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from saelab.analysis.directions import (
    class_mean_direction,
    lda_direction,
    probe_direction,
    random_direction,
    without,
)
from saelab.analysis.logistic import logistic_regressions


def rows(n: int = 300, d: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated rows of unequal scales; a third bears the concept, which shifts them."""
    g = torch.Generator().manual_seed(0)
    on = torch.rand(n, generator=g) < 1 / 3
    x = torch.randn(n, d, generator=g) @ torch.randn(d, d, generator=g)
    return (x + on[:, None] * torch.tensor([1.0, -2.0, 0.5, 0.0, 0.0])) * torch.tensor([1.0, 3.0, 1.0, 0.1, 1.0]), on


def test_class_mean_by_hand() -> None:
    x = torch.tensor([[3.0, 0.0], [3.0, 4.0], [0.0, 2.0], [0.0, 10.0]])
    u = class_mean_direction(x, torch.tensor([True, True, False, False]))
    assert u.tolist() == pytest.approx([0.6, -0.8])  # (3, 2) - (1.5, 4) = (1.5, -2)


@pytest.mark.parametrize("shrinkage", [1e-3, 0.3])
def test_lda_is_that_of_scikit_learn(shrinkage: float) -> None:
    x, on = rows()
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x.double().numpy(), on.numpy()).coef_[0]
    ours = lda_direction(x.double(), on, shrinkage=shrinkage).numpy()
    np.testing.assert_allclose(ours, theirs / np.linalg.norm(theirs), rtol=1e-6)


def test_a_probe_s_direction_is_that_of_a_newton_method_of_our_own() -> None:
    x, on = rows()
    z = (x.double() - x.double().mean(0)) / x.double().std(0, correction=0)
    W = logistic_regressions(z[None], torch.stack([~on, on], 1)[None].double(), c=1.0)[0, :-1]
    expected = (W[:, 1] - W[:, 0]) / x.double().std(0, correction=0)
    torch.testing.assert_close(probe_direction(x, on), (expected / expected.norm()).to(x), rtol=1e-3, atol=1e-3)


def test_a_constant_column_is_no_direction() -> None:
    x, on = rows()
    x[:, 2] = 7
    assert probe_direction(x, on)[2] == 0


def test_random_directions_are_units_of_their_seed() -> None:
    u = random_direction(64, seed=3)
    assert float(u.norm()) == pytest.approx(1)
    assert torch.equal(u, random_direction(64, seed=3))
    assert abs(float(u @ random_direction(64, seed=4))) < 0.5


def test_what_is_left_has_nothing_along_u_and_all_else() -> None:
    x, on = rows()
    u = lda_direction(x, on)
    left = without(x, u)
    assert float((left @ u).abs().max()) < 1e-5
    basis = torch.linalg.svd(u[None])[2][1:]  # all that is orthogonal to u
    torch.testing.assert_close(left @ basis.T, x @ basis.T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(without(torch.tensor([[3.0, 4.0]]), torch.tensor([0.6, 0.8])), torch.zeros(1, 2))
