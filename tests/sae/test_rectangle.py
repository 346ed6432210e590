"""The rectangle's values and gradients: on a grid, beside naive loops, and beside finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from saelab.sae.rectangle import jumprelu, step

GRID = [0.5, 0.75, 0.8, 1.0, 1.2, 1.25, 1.5]  # about a threshold of 1 with a bandwidth of 0.5: near is (0.75, 1.25)
NEAR = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]
ABOVE = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]


def on_grid(fn, to_input: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Value and both gradients of each point of the grid by itself, threshold 1, bandwidth 0.5."""
    pre = torch.tensor([GRID], requires_grad=True)
    threshold = torch.ones(len(GRID), requires_grad=True)
    value = fn(pre, threshold, 0.5, to_input)
    value.sum().backward()
    assert threshold.grad is not None
    return value[0].detach(), torch.zeros_like(pre[0]) if pre.grad is None else pre.grad[0], threshold.grad


@pytest.mark.parametrize("to_input", [False, True])
def test_step_on_a_grid_has_an_open_interval(to_input: bool) -> None:
    value, to_pre, to_threshold = on_grid(step, to_input)
    assert value.tolist() == ABOVE  # at the threshold itself it is 0
    assert to_threshold.tolist() == [-2 * near for near in NEAR]
    assert to_pre.tolist() == [2 * near if to_input else 0.0 for near in NEAR]


@pytest.mark.parametrize("to_input", [False, True])
def test_jumprelu_on_a_grid_has_an_open_interval(to_input: bool) -> None:
    value, to_pre, to_threshold = on_grid(jumprelu, to_input)
    torch.testing.assert_close(value, torch.tensor(GRID) * torch.tensor(ABOVE))
    assert to_threshold.tolist() == [-2 * near for near in NEAR]
    assert to_pre.tolist() == [h + (2 * near if to_input else 0.0) for h, near in zip(ABOVE, NEAR, strict=True)]


@pytest.mark.parametrize("to_input", [False, True])
@pytest.mark.parametrize("fn", [step, jumprelu])
def test_gradients_are_naive_loops(fn, to_input: bool) -> None:
    torch.manual_seed(0)
    pre, threshold, weight, width = torch.randn(9, 5), torch.rand(5), torch.randn(9, 5), 0.7
    to_pre, to_threshold = torch.zeros(9, 5), torch.zeros(5)
    for b in range(9):
        for i in range(5):
            z, t, g = pre[b, i], threshold[i], weight[b, i]
            bump = g * (1.0 if fn is step else t) / width if abs(z - t) < width / 2 else torch.tensor(0.0)
            to_threshold[i] -= bump
            to_pre[b, i] = (bump if to_input else 0.0) + (g if fn is jumprelu and z > t else 0.0)
    pre.requires_grad_(), threshold.requires_grad_()
    (fn(pre, threshold, width, to_input) * weight).sum().backward()
    torch.testing.assert_close(threshold.grad, to_threshold)
    torch.testing.assert_close(torch.zeros_like(pre) if pre.grad is None else pre.grad, to_pre)


def test_step_has_the_gradient_of_l0_averaged_over_thresholds() -> None:
    """Finite differences of E_b E_u H(pre > θ + ε u), u uniform on (−1/2, 1/2)."""
    generator = torch.Generator().manual_seed(0)
    pre, width, h = torch.randn(20_000, 1, generator=generator, dtype=torch.float64), 0.4, 1e-3
    smooth = lambda t: ((pre - t) / width + 0.5).clamp(0, 1).mean()  # noqa: E731
    for t in (0.0, 0.5, 1.5):
        threshold = torch.tensor([t], dtype=torch.float64, requires_grad=True)
        step(pre, threshold, width).mean().backward()
        assert threshold.grad is not None
        difference = (smooth(t + h) - smooth(t - h)) / (2 * h)
        assert threshold.grad.item() == pytest.approx(difference.item(), rel=0.02)
        density = torch.distributions.Normal(0, 1).log_prob(torch.tensor(t)).exp().item()
        assert threshold.grad.item() == pytest.approx(-density, rel=0.1)


def test_jumprelu_has_the_gradient_of_the_mean_code_averaged_over_thresholds() -> None:
    """d/dθ E[pre H(pre > θ)] = −θ p(θ), here by finite differences over a narrow rectangle's width."""
    generator = torch.Generator().manual_seed(1)
    pre, width, t = torch.randn(200_000, 1, generator=generator, dtype=torch.float64), 0.1, 0.8
    threshold = torch.tensor([t], dtype=torch.float64, requires_grad=True)
    jumprelu(pre, threshold, width).mean().backward()
    mean_above = lambda t: (pre * (pre > t)).mean()  # noqa: E731
    difference = (mean_above(t + width / 2) - mean_above(t - width / 2)) / width
    assert threshold.grad is not None
    assert threshold.grad.item() == pytest.approx(difference.item(), rel=0.02)


@pytest.mark.parametrize("fn", [step, jumprelu])
def test_a_float32_threshold_in_a_bf16_model(fn) -> None:
    pre = torch.randn(64, 3).to(torch.bfloat16).requires_grad_()
    threshold = torch.full((3,), 0.1, requires_grad=True)
    value = fn(pre, threshold, 1.0, True)
    assert value.dtype == torch.bfloat16
    value.sum().backward()
    assert threshold.grad is not None and threshold.grad.dtype == torch.float32
    assert pre.grad is not None and pre.grad.dtype == torch.bfloat16


def test_more_leading_dimensions() -> None:
    pre, threshold = torch.randn(2, 4, 3), torch.rand(3, requires_grad=True)
    step(pre, threshold, 1.0).sum().backward()
    flat = threshold.detach().clone().requires_grad_()
    step(pre.flatten(0, 1), flat, 1.0).sum().backward()
    torch.testing.assert_close(threshold.grad, flat.grad)
