"""Ghost gradients against naive loops."""

from __future__ import annotations

import math

import pytest
import torch

from saelab.sae import TopK
from saelab.sae.ghost import ghost_loss


def test_by_hand() -> None:
    # One dead latent with pre-activation 0: g = e^0 (0, 2) = (0, 2), length 2; r = (3, 4), length 5
    residual, pre = torch.tensor([[3.0, 4.0]]), torch.tensor([[7.0, 0.0]])
    W_dec, dead = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([False, True])
    # scaled by 5 / 4: g = (0, 2.5); e = ((0 - 3)², (2.5 - 4)²) / 5; each is brought to r² = (9, 16)
    assert ghost_loss(residual, pre[:, dead], W_dec[dead]).item() == pytest.approx(25, rel=1e-4)


def test_its_gradient_is_that_of_the_rescaled_error() -> None:
    torch.manual_seed(0)
    residual, W_dec = torch.randn(5, 3), torch.randn(4, 3, requires_grad=True)
    pre = torch.randn(5, 4, requires_grad=True)
    dead = torch.tensor([True, False, True, False])
    ghost_loss(residual, pre[:, dead], W_dec[dead]).backward()
    expected = torch.zeros(5, 4)
    for b in range(5):
        r = residual[b]
        g = sum(math.exp(pre[b, i].item()) * W_dec[i].detach() for i in (0, 2))
        shrink = r.norm() / (2 * g.norm() + 1e-6)
        e = (g * shrink - r).square() / r.norm()
        weight = r.square() / (e + 1e-6)
        for i in (0, 2):
            inner = 2 * (g * shrink - r) * shrink * math.exp(pre[b, i].item()) * W_dec[i].detach() / r.norm()
            expected[b, i] = (weight * inner).sum() / 5
    torch.testing.assert_close(pre.grad, expected, rtol=1e-3, atol=1e-5)
    assert not W_dec.grad[[1, 3]].any()


def test_only_dead_latents_hear_it() -> None:
    sae = TopK(d_in=4, d_sae=8, k=2, ghost=1.0, dead_after=1)
    sae.idle[:3] = 1
    term = sae.losses(sae.step(torch.randn(32, 4)))["ghost"]
    term.backward()
    assert (sae.W_enc.grad[:, :3] != 0).any(0).all()
    assert not sae.W_enc.grad[:, 3:].any()


def test_without_dead_latents_it_is_zero() -> None:
    sae = TopK(d_in=4, d_sae=8, k=2, ghost=1.0)
    assert sae.losses(sae.step(torch.randn(32, 4)))["ghost"].item() == 0
