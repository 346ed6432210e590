"""BatchTopK by hand, beside naive loops, and whether its threshold gives the L0 that was asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from variants import train

from saelab.kernels import keep, kept_batch_top
from saelab.sae import BatchTopK, Step
from saelab.sae.batchtopk import MEMORY, lowest


def batch_topk(pre: Tensor, k: float) -> Tensor:
    return keep(pre, lambda x: kept_batch_top(x, int(k * len(x))))


def test_selection_by_hand() -> None:
    pre = torch.tensor([[5.0, 4.0, 1.0], [-1.0, 2.0, 0.5]])
    assert batch_topk(pre, 1.5).tolist() == [[5.0, 4.0, 0.0], [0.0, 2.0, 0.0]]
    assert batch_topk(pre, 0.5).tolist() == [[5.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert batch_topk(pre, 3).tolist() == [[5.0, 4.0, 1.0], [0.0, 2.0, 0.5]]
    assert batch_topk(pre[:1], 0.5).tolist() == [[0.0, 0.0, 0.0]]
    assert lowest(batch_topk(pre, 1.5)).item() == 2.0
    assert lowest(torch.zeros(2, 3)).item() == lowest(torch.zeros(0)).item() == 0.0


def test_by_hand_in_training_and_evaluation() -> None:
    sae = BatchTopK(d_in=2, d_sae=2, k=1, normalize="none")
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(2))
        sae.W_dec.copy_(torch.eye(2))
    x = torch.tensor([[3.0, 2.0], [1.0, 0.5]])
    step = sae.step(x)
    assert step.f.tolist() == [[3.0, 2.0], [0.0, 0.0]]
    assert sae.losses(step)["recon"].item() == 1.25 / 2
    sae.threshold.fill_(1.0)
    assert sae.eval().encode(x).tolist() == [[3.0, 2.0], [0.0, 0.0]]  # strictly above
    sae.threshold.fill_(0.9)
    assert sae.encode(x).tolist() == [[3.0, 2.0], [1.0, 0.0]]
    assert sae.facts()["threshold"].item() == pytest.approx(0.9)


@pytest.mark.parametrize("k", [0.3, 1, 4.5, 12])
def test_selection_is_naive_loops(k: float) -> None:
    torch.manual_seed(0)
    pre = torch.randn(7, 12)
    kept = sorted(pre.flatten().tolist(), reverse=True)[: int(k * 7)]
    expected = [[z if z in kept and z > 0 else 0.0 for z in row] for row in pre.tolist()]
    assert batch_topk(pre, k).tolist() == expected


def test_ties_do_not_add_codes() -> None:
    assert (batch_topk(torch.ones(8, 16, dtype=torch.bfloat16), 2.5) != 0).sum() == 20


def test_selection_has_the_gradient_of_a_mask() -> None:
    pre, weight = torch.randn(6, 8, requires_grad=True), torch.randn(6, 8)
    f = batch_topk(pre, 3)
    (f * weight).sum().backward()
    torch.testing.assert_close(pre.grad, weight * (f.detach() > 0))


def follow(sae: BatchTopK, cuts: list[float]) -> float:
    """The threshold after batches that drew these."""
    for cut in cuts:
        f = torch.tensor([[cut, 100.0]])
        sae.track_(Step(f, f, f, f, f))
    return sae.threshold.item()


def test_threshold_by_hand() -> None:
    sae = BatchTopK(d_in=2, d_sae=2, k=1)
    sae.threshold.fill_(1.0)
    # m = 0.93, (1 - m)^2 = 0.0049, 1 - m^2 = 0.1351; e = 1: drift 0.0049, threshold 1 + 0.1351 + 0.0049
    assert follow(sae, [2.0]) == pytest.approx(1.14)
    # e = 0.86: drift 0.0049 + 0.004214, threshold 1.14 + 0.116186 + 0.009114
    assert follow(sae, [2.0]) == pytest.approx(1.2653)


def test_threshold_is_the_weighted_least_squares_line_at_the_next_batch() -> None:
    torch.manual_seed(0)
    cuts = (5 + torch.randn(300)).tolist()
    sae = BatchTopK(d_in=2, d_sae=2, k=1)
    age = torch.arange(299, -1, -1, dtype=torch.float64)
    weight, c = MEMORY**age, torch.tensor(cuts, dtype=torch.float64)
    A = torch.stack([torch.ones_like(age), -age], 1)
    at_now, slope = torch.linalg.solve(A.T @ (weight[:, None] * A), A.T @ (weight * c))
    assert follow(sae, cuts) == pytest.approx((at_now + slope).item(), rel=1e-4)


def test_threshold_does_not_lag_what_moves_steadily() -> None:
    sae = BatchTopK(d_in=2, d_sae=2, k=1)
    sae.threshold.fill_(9.0)
    assert follow(sae, [9.0 - 0.02 * i for i in range(300)]) == pytest.approx(9.0 - 0.02 * 300, abs=1e-3)


def test_threshold_is_never_negative() -> None:
    sae = BatchTopK(d_in=2, d_sae=2, k=1)
    follow(sae, [3.0 - 0.1 * i for i in range(30)])
    silent = torch.zeros(4, 2)
    for _ in range(20):
        sae.track_(Step(silent, silent, silent, silent, silent))
    assert 0 <= sae.threshold.item() < 0.2


def test_before_training_the_threshold_is_that_of_the_sample() -> None:
    sae = BatchTopK(d_in=6, d_sae=16, k=2.5)
    x = torch.randn(1000, 6)
    sae.init_from_(x)
    assert (sae.eval().encode(x) != 0).sum() == 2499  # all that were drawn but the lowest


def like_activations(n: int, generator: torch.Generator, d: int = 96) -> Tensor:
    """GELU units that read a few of many sources: skewed, correlated, not centred, of widely differing frequencies."""
    fixed = torch.Generator().manual_seed(0)
    sources = 64
    read, write = torch.randn(sources, 128, generator=fixed), torch.randn(128, d, generator=fixed)
    often = 0.5 / (1 + torch.arange(sources)) ** 0.5
    on = torch.rand(n, sources, generator=generator) < often
    hidden = nn.functional.gelu((on * torch.rand(n, sources, generator=generator)) @ read - 0.5)
    return nn.functional.gelu(hidden @ write / 4)


@pytest.mark.parametrize("k", [0.5, 4, 32, 64])
def test_evaluation_uses_k_codes_after_500_steps(k: float) -> None:
    """Rows are new ones; the learning rate is that of a far longer training, so the weights still move."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    sae = BatchTopK(d_in=96, d_sae=192, k=k, start_l0=k)
    sae.init_from_(like_activations(4096, generator))
    train(sae, [like_activations(512, generator) for _ in range(500)], lr=2e-3)
    l0 = (sae.eval().encode(like_activations(20_000, generator)) != 0).sum() / 20_000
    assert l0.item() == pytest.approx(k, rel=0.03)


@pytest.mark.parametrize(("k", "says"), [(0, "k=0"), (9, "d_sae=8")])
def test_rules(k: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BatchTopK(d_in=4, d_sae=8, k=k)
