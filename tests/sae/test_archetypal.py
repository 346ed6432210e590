"""Archetypal dictionaries: their constraints, and that any activation can have one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.optimize import nnls
from variants import loss_of, make, rows, train

from saelab.sae import TopK
from saelab.sae.archetypal import Archetypes, simplex

SMALL: dict[str, Any] = {"d_in": 6, "d_sae": 16, "k": 4, "decoder": "archetypal", "points": 64}


def test_by_hand() -> None:
    sae = TopK(d_in=2, d_sae=2, k=1, decoder="archetypal", points=3, delta=1.0, normalize="none")
    with torch.no_grad():
        sae.archetypes.C.copy_(torch.tensor([[6.0, 0.0], [0.0, 8.0], [1.0, 1.0]]))
        sae.archetypes.A.copy_(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
        sae.archetypes.shift.copy_(torch.tensor([[0.0, 0.0], [-0.4, -1.0]]))
    # (3, 4) / 5 and (0.6, 0) / 0.6
    torch.testing.assert_close(sae.W_dec, torch.tensor([[0.6, 0.8], [1.0, 0.0]]))
    torch.testing.assert_close(sae.decode(torch.tensor([[5.0, 1.0]])), torch.tensor([[4.0, 4.0]]))


def test_simplex_by_hand() -> None:
    a = torch.tensor([[0.5, 0.5, 0.0], [2.0, 0.0, 0.0], [1.0, 1.0, -3.0], [0.6, 0.4, 0.3]])
    expected = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.3, 0.2]])
    torch.testing.assert_close(simplex(a), expected)


def test_simplex_is_the_nearest_point() -> None:
    torch.manual_seed(0)
    a = torch.randn(20, 10)
    nearest = simplex(a)
    torch.testing.assert_close(nearest.sum(1), torch.ones(20))
    assert (nearest >= 0).all()
    for other in torch.distributions.Dirichlet(torch.full((10,), 0.3)).sample((500,)):
        assert ((a - nearest).norm(dim=1) <= (a - other).norm(dim=1) + 1e-6).all()


def test_points_are_centroids_of_unit_mean_square() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[9.0, 0.0], [0.0, 3.0], [-3.0, -3.0]])
    y = centres[torch.arange(600) % 3] + 0.1 * torch.randn(600, 2)
    archetypes = Archetypes(4, 2, points=3, delta=0.0)
    archetypes.fit_(y)
    expected = centres / centres.square().sum(1).mean().sqrt()
    assert torch.cdist(expected, archetypes.C).min(1).values.max() < 0.01
    assert archetypes.C.square().sum(1).mean().item() == pytest.approx(1)


@pytest.mark.parametrize("delta", [0.0, 0.3])
def test_training_keeps_to_the_constraints(delta: float) -> None:
    torch.manual_seed(0)
    sae = TopK(**(SMALL | {"points": 5}), delta=delta)  # whose cone is a small part of the space
    x = rows(512)
    sae.init_from_(x)
    C = sae.archetypes.C.clone()
    before = sae.W_dec.detach().clone()
    train(sae, [rows(128, seed=i) for i in range(30)])
    torch.testing.assert_close(sae.archetypes.A.sum(1), torch.ones(16))
    assert (sae.archetypes.A >= 0).all()
    assert (sae.archetypes.shift.norm(dim=1) <= delta * (1 + 1e-5)).all()
    assert torch.equal(sae.archetypes.C, C)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(16))
    assert (sae.W_dec - before).abs().max() > 0.1
    outside = [nnls(C.T.numpy(), atom.numpy())[1] for atom in sae.W_dec.detach()]
    if delta == 0:
        assert max(outside) < 1e-5  # each atom is a mixture of points, times a positive number
    else:
        assert max(outside) > 1e-3


def test_the_encoder_starts_as_the_transpose_at_the_scale_that_reconstructs() -> None:
    sae = TopK(**SMALL, start_l0=4)
    sae.init_from_(rows(512))
    scale = sae.W_enc.norm(dim=0)
    torch.testing.assert_close(scale, scale[:1].expand(16))
    torch.testing.assert_close(sae.W_enc, sae.W_dec.T * scale)
    x = sae.norm(rows(512)) - sae.b_dec
    y_hat = sae.preactivate(sae.norm(rows(512))).relu() @ sae.W_dec  # the best scale of it is 1
    torch.testing.assert_close((x * y_hat).sum(), y_hat.square().sum())
    assert not sae.W_dec.eq(sae.W_dec[0]).all(1)[1:].any()


def test_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    archetypes = Archetypes(3, 4, points=5, delta=1.0).double()
    weight = torch.randn(3, 4).double()

    def f(A: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        return (torch.func.functional_call(archetypes, {"A": A, "shift": shift}, ()) * weight).sum()

    A, shift = torch.rand(3, 5).double(), torch.randn(3, 4).double()
    assert torch.autograd.gradcheck(f, (A.requires_grad_(), shift.requires_grad_()))


@pytest.mark.parametrize("name", ["relu", "topk", "batchtopk", "jumprelu", "dense_vae_sparse", "lista"])
def test_any_activation_can_have_an_archetypal_dictionary(name: str) -> None:
    sae = make(name, decoder="archetypal", points=64, aux_k=4, dead_after=200)
    assert "W_dec" not in dict(sae.named_parameters())
    losses = train(sae, [rows(128, seed=i) for i in range(40)])
    assert losses[-1] < losses[0]
    loss_of(sae, sae.step(rows(64))).backward()
    assert sae.archetypes.A.grad is not None and sae.archetypes.A.grad.any()


def test_it_is_a_transcoders_decoder_too() -> None:
    sae = TopK(**SMALL, d_out=4)
    sae.init_from_(rows(512), rows(512, 4, seed=2))
    assert sae.W_dec.shape == (16, 4)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(16))


@pytest.mark.parametrize(("wrong", "says"), [({"points": 1}, "points=1"), ({"delta": -0.1}, "delta=-0.1")])
def test_rules(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TopK(**(SMALL | wrong))
