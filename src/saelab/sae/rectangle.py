"""Straight-through gradients of a step and of a jump, with a rectangle for the derivative of the step."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def step(
    pre: Float[Tensor, "*b s"], threshold: Float[Tensor, " s"], bandwidth: float, to_input: bool = False
) -> Float[Tensor, "*b s"]:
    """H(pre > threshold), 0 or 1, in the dtype of `pre`.

    Its derivative is taken to be K = 1/ε on the open interval |pre − threshold| < ε/2, and 0 outside, ε the bandwidth:

        d/d threshold = −K,        d/d pre = 0, or K with `to_input`.

    That is the derivative of H averaged over thresholds within ε/2, so some rows of a batch should fall that near.
    Gradients of the threshold are summed over the leading dimensions in its own dtype. (Rajamanoharan et al. 2024,
    arXiv 2407.14435, §4; `to_input` as in Anthropic, January 2025.)
    """
    return _Step.apply(pre, threshold, bandwidth, to_input)  # type: ignore[no-any-return]


def jumprelu(
    pre: Float[Tensor, "*b s"], threshold: Float[Tensor, " s"], bandwidth: float, to_input: bool = False
) -> Float[Tensor, "*b s"]:
    """pre · H(pre > threshold), in the dtype of `pre`; with K as in `step`,

        d/d threshold = −threshold K,        d/d pre = H, or H + threshold K with `to_input`.

    (Rajamanoharan et al. 2024, arXiv 2407.14435, §4.)
    """
    return _JumpReLU.apply(pre, threshold, bandwidth, to_input)  # type: ignore[no-any-return]


def _near(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    return (pre - threshold).abs() < bandwidth / 2


def _to_threshold(grad: Tensor, near: Tensor, threshold: Tensor) -> Tensor:
    return (grad * near).to(threshold.dtype).sum_to_size(threshold.shape)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float, to_input: bool) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth, ctx.to_input = bandwidth, to_input
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        pre, threshold = ctx.saved_tensors
        near = _near(pre, threshold, ctx.bandwidth)
        to_pre = grads[0] * near / ctx.bandwidth if ctx.to_input else None
        return to_pre, -_to_threshold(grads[0], near, threshold) / ctx.bandwidth, None, None


class _JumpReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float, to_input: bool) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth, ctx.to_input = bandwidth, to_input
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        pre, threshold = ctx.saved_tensors
        near, slope = _near(pre, threshold, ctx.bandwidth), threshold / ctx.bandwidth
        to_pre = grads[0] * (pre > threshold)
        if ctx.to_input:
            to_pre = to_pre + (grads[0] * near * slope).to(pre.dtype)
        return to_pre, -_to_threshold(grads[0], near, threshold) * slope, None, None
