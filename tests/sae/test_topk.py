"""TopK's options and AbsTopK, by hand and beside naive loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from variants import rows

from saelab.sae import AbsTopK, TopK


def reads_x(sae: Any) -> Any:
    """Latents that are the entries of x."""
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(sae.d_in))
        sae.W_dec.copy_(torch.eye(sae.d_in))
    return sae


def test_multi_topk_by_hand() -> None:
    sae = reads_x(TopK(d_in=6, d_sae=6, k=1, multi=0.125, normalize="none"))
    terms = sae.losses(sae.step(torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, -1.0]])))
    assert terms["recon"].item() == 25 + 16 + 9 + 4 + 1  # from 6 alone
    assert terms["multi"].item() == pytest.approx((4 + 1) / 8)  # from 6, 5, 4 and 3


def test_multi_topk_with_more_codes_than_there_are_and_a_skip() -> None:
    sae = TopK(d_in=6, d_sae=8, d_out=5, k=3, multi=0.5, skip=True)
    assert sae.W_skip is not None
    with torch.no_grad():
        sae.W_skip.normal_()
    x, y = rows(32, 6), rows(32, 5, seed=2)
    step = sae.step(x, y)
    y_hat = step.pre.relu() @ sae.W_dec + sae.b_dec + step.x @ sae.W_skip  # 4 k > d_sae: all positive ones
    expected = 0.5 * (step.y - y_hat).square().sum(1).mean()
    torch.testing.assert_close(sae.losses(step)["multi"], expected)


def test_multi_topk_reaches_latents_that_k_leaves_out() -> None:
    sae = reads_x(TopK(d_in=6, d_sae=6, k=1, multi=0.125, normalize="none"))
    sae.losses(sae.step(torch.tensor([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])))["multi"].backward()
    assert sae.W_dec.grad is not None
    assert sae.W_dec.grad.any(1).tolist() == [True] * 4 + [False] * 2


def test_k_anneals_in_training_and_not_in_evaluation() -> None:
    sae, x = TopK(d_in=6, d_sae=16, k=2, k_start=12, k_anneal=0.5, start_l0=16), rows(64)
    sae.init_from_(rows(512))
    used = {}
    for progress in (0.0, 0.25, 0.45, 0.5, 0.99):
        sae.anneal_(progress)
        used[progress] = (sae.encode(x) != 0).sum(1).max().item()
        assert sae.facts()["k"].item() == sae.k_used
    assert used == {0.0: 12, 0.25: 7, 0.45: 3, 0.5: 2, 0.99: 2}
    sae.anneal_(0.0)
    assert (sae.eval().encode(x) != 0).sum(1).max() == 2


def test_k_starts_at_k_start() -> None:
    assert (TopK(d_in=6, d_sae=16, k=2, k_start=9).k_used, TopK(d_in=6, d_sae=16, k=2).k_used) == (9, 2)
    assert TopK(d_in=6, d_sae=16, k=2).facts() == {}


def test_abs_topk_by_hand() -> None:
    sae = reads_x(AbsTopK(d_in=4, d_sae=4, k=2, normalize="none"))
    step = sae.step(torch.tensor([[1.0, -3.0, 2.0, 0.5], [-1.0, -2.0, 0.0, -4.0]]))
    assert step.f.tolist() == [[0.0, -3.0, 2.0, 0.0], [0.0, -2.0, 0.0, -4.0]]
    assert sae.losses(step)["recon"].item() == pytest.approx((1.25 + 1.0) / 2)


def test_abs_topk_is_naive_loops() -> None:
    torch.manual_seed(0)
    pre, sae = torch.randn(40, 20), AbsTopK(d_in=3, d_sae=20, k=5)
    for row, f in zip(pre.tolist(), sae.activate(pre).tolist(), strict=True):
        kept = sorted(row, key=abs, reverse=True)[:5]
        assert f == [z if z in kept else 0.0 for z in row]


def test_abs_topk_gradient_is_that_of_a_mask() -> None:
    pre, weight = torch.randn(6, 8, requires_grad=True), torch.randn(6, 8)
    f = AbsTopK(d_in=3, d_sae=8, k=3).activate(pre)
    (f * weight).sum().backward()
    torch.testing.assert_close(pre.grad, weight * (f.detach() != 0))


@pytest.mark.parametrize(
    ("variant", "wrong", "says"),
    [
        (TopK, {"k_start": 9}, "k_start=9"),
        (TopK, {"k_start": 0}, "k_start=0"),
        (TopK, {"k_anneal": 0.0}, "k_anneal=0.0"),
        (TopK, {"multi": -0.1}, "multi=-0.1"),
        (AbsTopK, {"k": 0}, "k=0"),
        (AbsTopK, {"k": 9}, "d_sae=8"),
        (AbsTopK, {"start_l0": 2.0}, "start_l0=2.0"),
    ],
)
def test_rules(variant: type[TopK] | type[AbsTopK], wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        variant(**({"d_in": 4, "d_sae": 8, "k": 2} | wrong))
