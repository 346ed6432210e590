"""AuxK by hand and against naive loops, of squares, of weighted squares and of logits; what its gradient reaches."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from saelab.sae import TopK
from saelab.sae.auxk import auxk_loss
from saelab.sae.likelihood import Kind, Likelihood


def test_auxk_by_hand() -> None:
    # Latents 1 and 2 are dead with pre-activations 2 and 1; k = 1 keeps 2, so e_hat = 2 (0, 1) and e - e_hat = (1, 1).
    y_hat, y, pre = torch.tensor([[4.0, 1.0]]), torch.tensor([[5.0, 4.0]]), torch.tensor([[9.0, 2.0, 1.0]])
    W_dec = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    dead, squares = torch.tensor([False, True, True]), Likelihood()
    assert auxk_loss(squares, y_hat, y, pre[:, dead], W_dec[dead], 1).item() == 2.0
    # k = 4 of two dead latents: e_hat = (1, 2), e - e_hat = (0, 1), scaled by 2 / 4
    assert auxk_loss(squares, y_hat, y, pre[:, dead], W_dec[dead], 4).item() == 0.5
    # of either sign, -3 is larger than 2: e_hat = -3 (1, 0), e - e_hat = (4, 3)
    pre[0, 2] = -3.0
    assert auxk_loss(squares, y_hat, y, pre[:, dead], W_dec[dead], 1).item() == 2.0
    assert auxk_loss(squares, y_hat, y, pre[:, dead], W_dec[dead], 1, signed=True).item() == 25.0


def test_auxk_of_logits_by_hand() -> None:
    # the living say 0 and -log 3, the dead add log 3 to either: odds of 3 and 1, for what is on and half on
    y_hat, y = torch.tensor([[0.0, -log(3)]]), torch.tensor([[1.0, 0.5]])
    pre, W_dec = torch.tensor([[log(3)]]), torch.tensor([[1.0, 1.0]])
    assert auxk_loss(Likelihood("bernoulli"), y_hat, y, pre, W_dec, 1).item() == pytest.approx(log(4 / 3) + log(2))
    # what is on counts three times, and one dead latent of four wanted for a quarter
    weighted = 3 * log(4 / 3) + (3 * 0.5 + 0.5) * log(2)
    assert auxk_loss(Likelihood("bernoulli", 3.0), y_hat, y, pre, W_dec, 4).item() == pytest.approx(weighted / 4)


@pytest.mark.parametrize("p", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["gaussian", "bernoulli"])
def test_auxk_is_naive_loops(kind: Kind, p: float) -> None:
    torch.manual_seed(1)
    y_hat, y, pre, W_dec = torch.randn(7, 4), torch.rand(7, 4), torch.randn(7, 9), torch.randn(9, 4)
    dead = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0, 1]).bool()
    total = 0.0
    for row, target, z in zip(y_hat, y.tolist(), pre, strict=True):
        chosen = sorted((i for i in range(9) if dead[i]), key=lambda i: -z[i])[:3]
        whole = row + sum((max(z[i].item(), 0.0) * W_dec[i] for i in chosen), torch.zeros(4))
        for entry, t in zip(whole.tolist(), target, strict=True):
            q = 1 / (1 + exp(-entry))
            squares = (1 + (p - 1) * t) * (t - entry) ** 2
            total += squares if kind == "gaussian" else -p * t * log(q) - (1 - t) * log(1 - q)
    ours = auxk_loss(Likelihood(kind, p), y_hat, y, pre[:, dead], W_dec[dead], 3)
    assert ours.item() == pytest.approx(total / 7, rel=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_auxk_reaches_the_encoder_of_dead_latents_and_nothing_of_the_living(likelihood: Kind) -> None:
    torch.manual_seed(0)
    sae = TopK(d_in=4, d_sae=8, k=2, aux_k=3, dead_after=1, likelihood=likelihood, normalize="none")
    sae.idle[:5] = 1
    x = torch.randn(64, 4).sigmoid()
    sae.init_from_(x)
    step = sae.step(x)
    sae.losses(step)["aux"].backward()
    assert sae.W_enc.grad is not None
    assert sae.W_dec.grad is not None
    assert (sae.W_enc.grad[:, :5] != 0).any(0).all()
    assert not sae.W_enc.grad[:, 5:].any()
    assert not sae.W_dec.grad[5:].any()


def test_dead_codes_of_logits_grow_to_the_size_of_logits() -> None:
    # the living say 1/2, a residual of 0.49; what tells 0.99 is a code of log 99 = 4.6, where alone the slope is zero
    y_hat, y, W_dec = torch.zeros(1, 1), torch.full((1, 1), 0.99), torch.ones(1, 1)

    def slope(code: float) -> float:
        pre = torch.tensor([[code]], requires_grad=True)
        auxk_loss(Likelihood("bernoulli"), y_hat, y, pre, W_dec, 1).backward()
        assert pre.grad is not None
        return pre.grad.item()

    assert slope(0.49) < -0.3
    assert slope(log(99)) == pytest.approx(0, abs=1e-6)
    assert slope(6.0) > 0
