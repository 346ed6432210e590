"""Lp penalties, and a p that falls without a jump in the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from variants import rows

from saelab.sae import PAnneal, ReLU, Step
from saelab.sae.relu import SOFT, power


def with_codes(sae: ReLU, f: torch.Tensor) -> Step:
    return Step(f, f, f, f, f)


def test_lp_by_hand() -> None:
    sae = ReLU(d_in=2, d_sae=2, l1=0.5, p=0.5, normalize="none")
    term = sae.losses(with_codes(sae, torch.tensor([[4.0, 9.0], [0.0, 1.0]])))["sparsity"]
    assert term.item() == pytest.approx(0.5 * (2 + 3 + 0 + 1) / 2, rel=2e-2)
    exact = 0.5 * sum((f + SOFT) ** 0.5 - SOFT**0.5 for f in (4, 9, 0, 1)) / 2
    assert term.item() == pytest.approx(exact, rel=1e-5)


def test_lp_of_a_free_decoder_takes_the_norm_inside() -> None:
    sae = ReLU(d_in=2, d_sae=2, l1=1.0, p=0.5, normalize="none", decoder="free")
    with torch.no_grad():
        sae.W_dec.copy_(4 * torch.eye(2))
    term = sae.losses(with_codes(sae, torch.tensor([[4.0, 0.0]])))["sparsity"]
    assert term.item() == pytest.approx(4.0, rel=2e-2)


def test_p_1_is_plain_l1() -> None:
    f = torch.rand(5, 3)
    assert power(f, 1.0) is f
    torch.testing.assert_close(power(f, torch.tensor(1.0)), f, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.9, 1.0])
def test_lp_is_safe_at_zero(p: float) -> None:
    f = torch.tensor([0.0, 1e-8, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    value = power(f, p)
    value.sum().backward()
    assert value[0].item() == 0.0
    assert f.grad is not None and f.grad.isfinite().all()
    assert f.grad[0].item() == pytest.approx(p * SOFT ** (p - 1))
    assert f.grad[3].item() == pytest.approx(p * 3 ** (p - 1), rel=1e-2)
    h = 1e-6
    slope = (power(f.detach() + h, p) - power(f.detach() + h / 2, p)) / (h / 2)
    torch.testing.assert_close(f.grad, slope, rtol=2e-3, atol=1e-6)


def test_latents_that_are_shut_get_no_gradient() -> None:
    sae = ReLU(d_in=2, d_sae=2, p=0.5, normalize="none")
    pre = torch.tensor([[-1.0, 2.0]], requires_grad=True)
    sae.losses(Step(pre, pre, pre, sae.activate(pre), pre))["sparsity"].backward()
    assert pre.grad is not None
    assert pre.grad[0, 0] == 0 and pre.grad[0, 1] > 0


def annealed(**own: Any) -> PAnneal:
    settings = {"l1": 0.5, "p_start": 1.0, "p_end": 0.2, "updates": 2, "anneal_start": 0.2, "anneal_end": 0.6}
    return PAnneal(**({"d_in": 2, "d_sae": 2, "normalize": "none"} | settings | own))


def test_annealing_by_hand() -> None:
    """One code of 4: f^1 = 4, f^0.6 = 2.282, f^0.2 = 1.069 (see `power`); λ is 0.5 times 1, 4 / 2.282, 4 / 1.069."""
    sae, seen = annealed(), {}
    step = with_codes(sae, torch.tensor([[4.0, 0.0]]))
    for progress in (0.0, 0.2, 0.39, 0.4, 0.5, 0.6, 0.99):
        sae.anneal_(progress)
        facts = sae.facts()
        seen[progress] = (round(facts["p"].item(), 4), round(facts["lambda"].item(), 2))
        assert sae.losses(step)["sparsity"].item() == pytest.approx(2.0, rel=1e-3)
        sae.track_(step)
    first, second, third = (1.0, 0.5), (0.6, 0.88), (0.2, 1.87)
    assert list(seen.values()) == [first, first, first, second, second, third, third]


def test_an_update_leaves_the_penalty_of_the_last_ten_batches_as_it_was() -> None:
    torch.manual_seed(0)
    sae = annealed(d_sae=8, updates=1)
    batches = [with_codes(sae, torch.rand(16, 8) * (torch.rand(16, 8) < 0.3) * (1 + i)) for i in range(15)]
    for step in batches:
        sae.track_(step)
    before = sum(sae.sparsity(step).item() for step in batches[-10:])
    sae.anneal_(0.7)
    assert sae.facts()["p"].item() == pytest.approx(0.2)
    assert sum(sae.sparsity(step).item() for step in batches[-10:]) == pytest.approx(before, rel=1e-4)
    assert not sae.recent.any()


def test_updates_that_come_too_fast_are_made_one_a_batch() -> None:
    sae = annealed(updates=4)
    step = with_codes(sae, torch.tensor([[4.0, 1.0]]))
    ps = []
    for progress in (0.0, 0.5, 0.9, 0.95, 0.97, 0.99):
        sae.anneal_(progress)
        sae.anneal_(progress)  # again, with no batch seen in between: nothing more happens
        ps.append(round(sae.facts()["p"].item(), 4))
        sae.track_(step)
    assert ps == [1.0, 0.8, 0.6, 0.4, 0.2, 0.2]


def test_it_goes_on_where_it_was_saved() -> None:
    torch.manual_seed(0)
    a, b = annealed(d_in=6, d_sae=8), annealed(d_in=6, d_sae=8)
    for i in range(30):
        a.anneal_(i / 60)
        a.track_(a.step(rows(32, seed=i)))
    b.load_state_dict(a.state_dict())
    for i in range(30, 60):
        terms = []
        for sae in (a, b):
            sae.anneal_(i / 60)
            step = sae.step(rows(32, seed=i))
            terms.append(sae.losses(step)["sparsity"])
            sae.track_(step)
        assert torch.equal(*terms)
    assert a.facts()["p"].item() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"p_end": 0.0}, "p_end=0.0"),
        ({"p_start": 0.2}, "p_start=0.2"),
        ({"p_start": 1.5}, "p=1.5"),
        ({"anneal_start": 0.7}, "anneal_start=0.7"),
        ({"anneal_end": 1.1}, "anneal_end=1.1"),
        ({"updates": 0}, "updates=0"),
        ({"l1": -1.0}, "l1=-1.0"),
    ],
)
def test_rules(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        annealed(**wrong)


@pytest.mark.parametrize("p", [0.0, 1.1])
def test_relu_refuses_other_exponents(p: float) -> None:
    with pytest.raises(ValueError, match=f"p={p}"):
        ReLU(d_in=4, d_sae=8, p=p)
