"""JumpReLU by hand, its three penalties, and what its gradients reach."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from variants import rows, train

from saelab.sae import JumpReLU, Step


def small(**own: Any) -> JumpReLU:
    """Two latents that read x itself, thresholds 1 and 2."""
    sae = JumpReLU(**({"d_in": 2, "d_sae": 2, "target_l0": 1, "bandwidth": 1.0, "normalize": "none"} | own))
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(2))
        sae.W_dec.copy_(torch.eye(2))
        sae.threshold.copy_(torch.tensor([1.0, 2.0]))
    return sae


def test_by_hand() -> None:
    sae = small(l0=0.5)
    step = sae.step(torch.tensor([[3.0, 1.5], [1.0, 4.0], [1.25, 2.25]]))
    # at the threshold itself a latent does not fire
    assert step.f.tolist() == [[3.0, 0.0], [0.0, 4.0], [1.25, 2.25]]
    # L0 = 4 / 3, target 1: weight 0.5 times d_out = 2 times (1 / 3)^2
    terms = sae.losses(step)
    assert terms["sparsity"].item() == pytest.approx(0.5 * 2 / 9)
    assert terms["recon"].item() == pytest.approx((1.5**2 + 1.0) / 3)


def test_target_by_hand_for_the_gradient() -> None:
    sae = small()
    step = sae.step(torch.tensor([[3.0, 1.5], [1.25, 2.25]]))  # 1.25 is near 1; 2.25 is near 2, 1.5 on the edge is not
    sae.losses(step)["sparsity"].backward()
    # L0 = 3 / 2: d/dθ = 2 · 2 (1.5 / 1 − 1) / 1 · (−1 / 1 · one near row of two)
    assert sae.threshold.grad is not None
    assert sae.threshold.grad.tolist() == pytest.approx([-1.0, -1.0])


def test_step_and_tanh_by_hand() -> None:
    x = torch.tensor([[3.0, 1.5], [0.5, 4.0]])
    assert small(sparsity="step", l0=0.3).losses(small().step(x))["sparsity"].item() == pytest.approx(0.3)
    sae = small(sparsity="tanh", l0=0.3, scale=0.5, decoder="free")
    with torch.no_grad():
        sae.W_dec.mul_(2)
    expected = 0.3 * (math.tanh(3.0) + math.tanh(4.0)) / 2
    assert sae.losses(sae.step(x))["sparsity"].item() == pytest.approx(expected, rel=1e-6)


def test_l0_acts_on_pre_activations_so_thresholds_feel_both_sides() -> None:
    """On codes, half of the rectangle would be empty and the gradient half as large."""
    sae = JumpReLU(d_in=1, d_sae=1, sparsity="step", l0=1.0, threshold=1.0, bandwidth=0.1, normalize="none")
    pre = torch.linspace(0, 2, 2001)[:, None]
    sae.losses(Step(pre, pre, pre, sae.activate(pre), pre))["sparsity"].backward()
    # pre is uniform with density 1/2 at the threshold
    assert sae.threshold.grad is not None
    assert sae.threshold.grad.item() == pytest.approx(-0.5, rel=0.02)


@pytest.mark.parametrize("to_input", [False, True])
def test_the_penalty_reaches_the_encoder_only_with_ste_to_input(to_input: bool) -> None:
    sae = JumpReLU(d_in=6, d_sae=8, target_l0=2, ste_to_input=to_input, normalize="none")
    sae.losses(sae.step(torch.randn(64, 6)))["sparsity"].backward()
    assert sae.threshold.grad is not None and sae.threshold.grad.any()
    assert (sae.W_enc.grad is not None and bool(sae.W_enc.grad.any())) == to_input


def test_pre_activation_loss_draws_a_dead_latents_threshold_and_bias_together() -> None:
    sae = small(pre_act=0.5, dead_after=1, decoder="free")
    with torch.no_grad():
        sae.W_dec.mul_(3)
    sae.idle[1] = 1
    step = sae.step(torch.tensor([[5.0, 1.5], [0.0, 3.0], [0.0, -1.0]]))
    term = sae.losses(step)["pre_act"]
    assert term.item() == pytest.approx(0.5 * 3 * (0.5 + 0 + 3) / 3)
    term.backward()
    assert sae.threshold.grad is not None and sae.b_enc.grad is not None
    assert sae.threshold.grad.tolist() == pytest.approx([0.0, 0.5 * 3 * 2 / 3])
    assert sae.b_enc.grad.tolist() == pytest.approx([0.0, -0.5 * 3 * 2 / 3])


def test_thresholds_stay_at_or_above_zero() -> None:
    sae = small()
    with torch.no_grad():
        sae.threshold.copy_(torch.tensor([-1.0, 0.5]))
    sae.project_()
    assert sae.threshold.tolist() == [0.0, 0.5]


def test_start_l0_makes_every_latent_fire_on_that_share_of_rows() -> None:
    torch.manual_seed(0)
    x = torch.randn(1000, 6) * torch.tensor([9.0, 3.0, 1.0, 1.0, 0.5, 0.1]) + 2
    sae = JumpReLU(d_in=6, d_sae=20, target_l0=5, start_l0=5, threshold=0.2)
    sae.init_from_(x)
    assert ((sae.encode(x) != 0).sum(0) - 250).abs().max() <= 1
    torch.testing.assert_close(sae.threshold.detach(), torch.full((20,), 0.2))
    assert sae.facts()["threshold"].item() == pytest.approx(0.2)


def test_l0_is_held_at_the_target() -> None:
    torch.manual_seed(0)
    sae = JumpReLU(d_in=6, d_sae=32, target_l0=3, start_l0=3, l0=10.0, ste_to_input=True)
    sae.init_from_(rows(4096))
    train(sae, [rows(512, seed=i) for i in range(400)], lr=3e-3)
    l0 = (sae.eval().encode(rows(8192, seed=9999)) != 0).sum(1).float().mean().item()
    assert l0 == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"l0": -1.0}, "l0=-1.0"),
        ({"target_l0": 0}, "target_l0=0"),
        ({"target_l0": 9}, "d_sae=8"),
        ({"scale": 0.0}, "scale=0.0"),
        ({"bandwidth": 0.0}, "bandwidth=0.0"),
        ({"threshold": -0.1}, "threshold=-0.1"),
        ({"pre_act": -0.1}, "pre_act=-0.1"),
    ],
)
def test_rules(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        JumpReLU(**({"d_in": 4, "d_sae": 8, "target_l0": 2} | wrong))
