"""Each variant's numbers on an example small enough for the head, and against naive loops."""

from __future__ import annotations

import pytest
import torch

from saelab.sae import ReLU, TopK
from saelab.sae.init import geometric_median


def two_latents(sae: ReLU | TopK) -> ReLU | TopK:
    """W_enc = [[1, 0], [0, 2]], W_dec = [[1, 0], [0, 1]], b_enc = [-1, 0], b_dec = [1, 0], no scaling."""
    with torch.no_grad():
        sae.W_enc.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        sae.W_dec.copy_(torch.eye(2))
        sae.b_enc.copy_(torch.tensor([-1.0, 0.0]))
        sae.b_dec.copy_(torch.tensor([1.0, 0.0]))
    return sae


def test_relu_by_hand() -> None:
    sae = two_latents(ReLU(d_in=2, d_sae=2, l1=0.5, normalize="none", decoder="free"))
    # x - b_dec = (3, 1); pre = (3 - 1, 2) = (2, 2); y_hat = (2 + 1, 2); the error is (1, -1)
    step = sae.step(torch.tensor([[4.0, 1.0]]))
    assert step.pre.tolist() == [[2.0, 2.0]]
    assert step.y_hat.tolist() == [[3.0, 2.0]]
    terms = sae.losses(step)
    assert terms["recon"].item() == 2.0
    assert terms["sparsity"].item() == 0.5 * 4
    with torch.no_grad():
        sae.W_dec.mul_(3)
    assert sae.losses(sae.step(torch.tensor([[4.0, 1.0]])))["sparsity"].item() == pytest.approx(0.5 * 12)


def test_relu_with_a_unit_decoder_counts_plain_codes() -> None:
    sae = two_latents(ReLU(d_in=2, d_sae=2, l1=0.5, normalize="none", decoder="unit"))
    with torch.no_grad():
        sae.W_dec.mul_(3)
    assert sae.losses(sae.step(torch.tensor([[4.0, 1.0]])))["sparsity"].item() == 0.5 * 4
    sae.project_()
    torch.testing.assert_close(sae.W_dec.detach(), torch.eye(2))


def test_topk_by_hand() -> None:
    sae = two_latents(TopK(d_in=2, d_sae=2, k=1, normalize="none", aux_k=0))
    # rows (4, 1) and (1, -1): pre = (2, 2 -> a tie kept once), (-1, -2 -> nothing is positive)
    x = torch.tensor([[5.0, 1.0], [1.0, -1.0]])
    step = sae.step(x)
    assert sae.preactivate(x).tolist() == [[3.0, 2.0], [-1.0, -2.0]]
    assert step.f.tolist() == [[3.0, 0.0], [0.0, 0.0]]
    # errors: (5, 1) - (4, 0) = (1, 1) and (1, -1) - (1, 0) = (0, -1)
    assert sae.losses(step)["recon"].item() == (2 + 1) / 2


def test_topk_keeps_the_largest_of_every_row() -> None:
    torch.manual_seed(0)
    pre = torch.randn(50, 20)
    sae = TopK(d_in=3, d_sae=20, k=5)
    for row, f in zip(pre, sae.activate(pre), strict=True):
        kept = sorted(row.tolist(), reverse=True)[:5]
        assert sorted(v for v in f.tolist() if v != 0) == sorted(v for v in kept if v > 0)


def test_start_l0_lets_every_latent_fire_on_that_share_of_rows() -> None:
    torch.manual_seed(0)
    x = torch.randn(1000, 6) * torch.tensor([9.0, 3.0, 1.0, 1.0, 0.5, 0.1]) + 2
    sae = TopK(d_in=6, d_sae=20, k=5, start_l0=5)
    sae.init_from_(x)
    fired = (sae.preactivate(sae.norm(x)) > 1e-6).sum(0)
    assert (fired - 250).abs().max() <= 1
    plain = TopK(d_in=6, d_sae=20, k=5)
    plain.init_from_(x)
    assert not plain.b_enc.any()
    everything = TopK(d_in=6, d_sae=20, k=20, start_l0=20)
    everything.init_from_(x)
    assert (everything.preactivate(everything.norm(x)) > 0).all()


@pytest.mark.parametrize("k", [1, 20])
def test_topk_limits(k: int) -> None:
    sae = TopK(d_in=3, d_sae=20, k=k)
    x = torch.randn(30, 3)
    assert (sae.encode(x) != 0).sum(1).max() <= k
    if k == 20:
        torch.testing.assert_close(sae.encode(x), sae.preactivate(sae.norm(x)).relu())


def test_reanimation_raises_what_is_dead_and_only_that() -> None:
    sae = TopK(d_in=4, d_sae=8, k=2, reanimate=0.5, dead_after=1)
    sae.idle[:3] = 1
    x = torch.randn(64, 4)
    step = sae.step(x)
    term = sae.losses(step)["reanimate"]
    assert term.item() == pytest.approx(-0.5 * sae.preactivate(step.x)[:, :3].mean(0).sum().item(), rel=1e-5)
    term.backward()
    assert sae.b_enc.grad is not None
    assert sae.b_enc.grad.tolist() == pytest.approx([-0.5] * 3 + [0.0] * 5)


def test_projected_gradient_keeps_rows_at_norm_one_to_first_order() -> None:
    sae = TopK(d_in=4, d_sae=8, k=2)
    sae.losses(sae.step(torch.randn(64, 4)))["recon"].backward()
    sae.project_grad_()
    assert sae.W_dec.grad is not None
    torch.testing.assert_close((sae.W_dec.grad * sae.W_dec).sum(1), torch.zeros(8), atol=1e-5, rtol=0)


def test_geometric_median_is_not_dragged_by_an_outlier() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1000.0, 0.0]])
    median = geometric_median(x)
    distance = lambda m: (x - m).norm(dim=1).sum()  # noqa: E731
    assert median.norm() < 1
    for shift in torch.randn(50, 2) * 0.1:
        assert distance(median) <= distance(median + shift) + 1e-3


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"k": 0}, "k=0"),
        ({"k": 99}, "d_sae=8"),
        ({"aux_k": -1}, "aux_k=-1"),
        ({"d_sae": 0}, "d_sae=0"),
    ],
)
def test_rules_across_arguments(wrong: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TopK(**({"d_in": 4, "d_sae": 8, "k": 2} | wrong))


def test_relu_refuses_a_negative_penalty() -> None:
    with pytest.raises(ValueError, match="l1=-1"):
        ReLU(d_in=4, d_sae=8, l1=-1.0)


def test_a_dead_site_is_named() -> None:
    with pytest.raises(ValueError, match="All activations are zero"):
        TopK(d_in=4, d_sae=8, k=2).init_from_(torch.zeros(10, 4))
