"""Gated by hand, and what each of its terms teaches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from variants import rows

from saelab.sae import Gated


def small(**own: Any) -> Gated:
    """Two latents that read x itself; gate biases −1 and 1, magnitude biases 0.5 and −1, scales 1 and 2."""
    sae = Gated(**({"d_in": 2, "d_sae": 2, "l1": 0.5, "normalize": "none"} | own))
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(2))
        sae.W_dec.copy_(torch.eye(2))
        sae.b_enc.copy_(torch.tensor([-1.0, 1.0]))
        sae.b_mag.copy_(torch.tensor([0.5, -1.0]))
        sae.r_mag.copy_(torch.tensor([0.0, math.log(2)]))
    return sae


def test_by_hand() -> None:
    sae = small()
    step = sae.step(torch.tensor([[3.0, 1.0], [1.0, 0.25]]))
    # row 1: gates (2, 2) are open, magnitudes 3 + 0.5 and 2 · 1 − 1
    # row 2: gates (0, 1.25), the first is shut at 0; the second's magnitude 0.5 − 1 is cut off
    assert step.pre.tolist() == [[2.0, 2.0], [0.0, 1.25]]
    torch.testing.assert_close(step.f, torch.tensor([[3.5, 1.0], [0.0, 0.0]]))
    terms = sae.losses(step)
    assert terms["recon"].item() == pytest.approx((0.25 + 1.0 + 0.0625) / 2)
    assert terms["sparsity"].item() == pytest.approx(0.5 * (4 + 1.25) / 2)
    # the gate's own reconstruction: (2, 2) of (3, 1), (0, 1.25) of (1, 0.25)
    assert terms["gate"].item() == pytest.approx((1 + 1 + 1 + 1) / 2)


def test_penalty_is_weighted_by_the_norms_of_a_free_decoder() -> None:
    sae = small(decoder="free")
    with torch.no_grad():
        sae.W_dec.mul_(3)
    term = sae.losses(sae.step(torch.tensor([[3.0, 1.0]])))["sparsity"]
    assert term.item() == pytest.approx(0.5 * 3 * 4)


@pytest.mark.parametrize("decoder", ["unit", "free"])
def test_what_each_term_teaches(decoder: Any) -> None:
    sae, taught = Gated(d_in=6, d_sae=8, decoder=decoder), {}
    for name in ("recon", "sparsity", "gate"):
        sae.zero_grad()
        sae.losses(sae.step(rows(64)))[name].backward()
        taught[name] = {key for key, p in sae.named_parameters() if p.grad is not None and p.grad.any()}
    # b_dec is also the encoder's centre, so every term reaches it
    assert taught["recon"] == {"W_enc", "W_dec", "b_dec", "r_mag", "b_mag"} | (taught["recon"] & {"b_enc"})
    assert taught["sparsity"] == taught["gate"] == {"W_enc", "b_enc", "b_dec"}


def test_reconstruction_does_not_teach_the_gates_bias() -> None:
    sae = small()
    sae.losses(sae.step(torch.tensor([[3.0, 1.0]])))["recon"].backward()
    assert sae.b_enc.grad is not None
    assert sae.b_enc.grad.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_the_gate_has_the_gradient_of_a_relu_autoencoder_with_a_fixed_decoder() -> None:
    sae, x = small(), torch.randn(32, 2)
    sae.losses(sae.step(x))["gate"].backward()
    W_enc, b_enc, b_in = (p.detach().clone().requires_grad_() for p in (sae.W_enc, sae.b_enc, sae.b_dec))
    y_gate = torch.relu((x - b_in) @ W_enc + b_enc) @ sae.W_dec.detach() + sae.b_dec.detach()
    (x - y_gate).square().sum(1).mean().backward()
    for mine, plain in ((sae.W_enc, W_enc), (sae.b_enc, b_enc), (sae.b_dec, b_in)):
        torch.testing.assert_close(mine.grad, plain.grad)


def test_the_gate_of_a_transcoder_sees_the_skip_but_does_not_teach_it() -> None:
    sae = Gated(d_in=6, d_sae=8, d_out=4, skip=True)
    assert sae.W_skip is not None
    with torch.no_grad():
        sae.W_skip.normal_()
    step = sae.step(rows(32), rows(32, 4, seed=2))
    term = sae.losses(step)["gate"]
    y_gate = step.pre.relu() @ sae.W_dec + sae.b_dec + step.x @ sae.W_skip
    torch.testing.assert_close(term, (step.y - y_gate).square().sum(1).mean())
    term.backward()
    assert sae.W_skip.grad is None


def test_start_l0_starts_as_a_relu_that_fires_so_often() -> None:
    torch.manual_seed(0)
    sae, x = Gated(d_in=6, d_sae=20, start_l0=5), rows(1000)
    sae.init_from_(x)
    f = sae.encode(x)
    torch.testing.assert_close(f, sae.preactivate(sae.norm(x)).relu(), atol=1e-5, rtol=1e-5)
    assert ((f > 1e-5).sum(0) - 250).abs().max() <= 1


def test_rules() -> None:
    with pytest.raises(ValueError, match="l1=-1"):
        Gated(d_in=4, d_sae=8, l1=-1.0)
