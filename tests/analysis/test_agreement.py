"""Agreement of dictionaries: the same one in another order, by hand, by enumeration, and by chance."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch

from saelab.analysis.agreement import (
    activation_agreement,
    agreement_scores,
    chance_agreement,
    decoder_agreement,
    same_partner,
    shuffled_agreement,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def all_of(x):
    return torch.ones(len(x), dtype=torch.bool)


def test_the_same_dictionary_in_another_order_agrees_wholly():
    W = torch.randn(30, 8, generator=generator())
    alive = torch.rand(30, generator=generator(1)) < 0.8
    order = torch.randperm(30, generator=generator(2))
    g = decoder_agreement(W, 3 * W[order], alive_a=alive, alive_b=alive[order])
    assert torch.equal(order[g.b], g.a)
    assert g.living == (int(alive.sum()),) * 2
    assert all(v == pytest.approx(1) for v in agreement_scores(g).values())


def test_by_hand():
    """Greedy would pair 0 with 0; one is dead; -1 is no partner."""
    A = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, -1.0], [1.0, 0.0]])
    B = torch.tensor([[1.0, 0.0], [0.6, -0.8], [0.0, 1.0]])
    g = decoder_agreement(A, B, alive_a=torch.tensor([True, True, True, False]), alive_b=all_of(B))
    assert (g.a.tolist(), g.b.tolist()) == ([0, 1, 2], [0, 2, 1])
    assert g.cos.tolist() == pytest.approx([1, 0.6, 0.8])
    assert g.best.tolist() == pytest.approx([1, 0.8, 0.8])
    s = agreement_scores(g)
    assert s["mean_cos"] == pytest.approx(0.8)
    assert s["mean_max_cos"] == pytest.approx(2.6 / 3)
    assert (s["matched_0.5"], s["matched_0.7"], s["matched_0.9"]) == pytest.approx((1, 2 / 3, 1 / 3))


@pytest.mark.parametrize(("s", "t"), [(4, 4), (3, 5), (5, 3)])
def test_matching_is_the_best_of_all(s, t):
    A, B = (torch.randn(k, 3, generator=generator(k + 10)) for k in (s, t + 1))
    B = B[:t]
    cos = np.array([[max(float(a @ b / a.norm() / b.norm()), 0) for b in B] for a in A])
    wide = cos if s <= t else cos.T
    best = max(sum(wide[i, j] for i, j in enumerate(p)) for p in permutations(range(max(s, t)), min(s, t)))
    g = decoder_agreement(A, B, alive_a=all_of(A), alive_b=all_of(B))
    assert g.cos.clamp(min=0).sum().item() == pytest.approx(best, abs=1e-6)
    assert agreement_scores(g, near=(-1.0,))["matched_-1"] == min(s, t) / max(s, t)


def test_activations_equal_a_loop():
    A, B = (torch.rand(50, 4, generator=generator(k)).sub(0.5).relu() for k in (0, 1))
    B[:, 2] = 2 * A[:, 3]
    g = activation_agreement(A, B, alive_a=all_of(A.T), alive_b=all_of(B.T))
    for a, b, cos in zip(g.a, g.b, g.cos, strict=True):
        x, y = A[:, a].double().numpy(), B[:, b].double().numpy()
        assert cos.item() == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    assert dict(zip(g.a.tolist(), g.b.tolist(), strict=True))[3] == 2


def test_chance_and_shuffles_are_less():
    W = torch.randn(60, 16, generator=generator())
    noisy = W + 0.3 * torch.randn(60, 16, generator=generator(1))
    own = agreement_scores(decoder_agreement(W, noisy, alive_a=all_of(W), alive_b=all_of(W)))["mean_cos"]
    chance = agreement_scores(chance_agreement(W, alive_a=all_of(W), latents=60, seed=9))["mean_cos"]
    assert own > 0.9 > 0.7 > chance > 0
    x = torch.randn(300, 16, generator=generator(2))
    f, h = (x @ W.T).relu(), (x @ noisy.T).relu()
    both = {"alive_a": all_of(W), "alive_b": all_of(W)}
    real, shuffled = (
        agreement_scores(g)["mean_cos"] for g in (activation_agreement(f, h, **both), shuffled_agreement(f, h, **both))
    )
    assert real > 0.9 > 0.6 > shuffled


def test_same_partner_by_hand():
    eye = torch.eye(4)
    one = decoder_agreement(eye, eye, alive_a=all_of(eye), alive_b=all_of(eye))
    swapped = decoder_agreement(eye, eye[[1, 0, 2, 3]], alive_a=all_of(eye), alive_b=all_of(eye))
    fewer = decoder_agreement(eye, eye, alive_a=torch.tensor([True, False, True, False]), alive_b=all_of(eye))
    assert same_partner(one, one, 4) == 1
    assert same_partner(one, swapped, 4) == 0.5
    assert same_partner(swapped, fewer, 4) == 0.5  # of latents 0 and 2


def test_nothing_alive():
    W = torch.eye(3)
    nothing = decoder_agreement(W, W, alive_a=~all_of(W), alive_b=all_of(W))
    assert all(math.isnan(v) for v in agreement_scores(nothing).values())
    assert math.isnan(same_partner(nothing, nothing, 3))
