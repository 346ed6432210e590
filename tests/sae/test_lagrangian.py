"""Lagrangian: its two dual rules by hand, what its gradients reach, and that L0 gets to its target."""

from __future__ import annotations

import pytest
import torch
from variants import train

from saelab.sae import Lagrangian, MatryoshkaLagrangian, Step
from saelab.sae.dual import Dual, ReferenceDual

INF = float("inf")


def firing(l0: int, *, rows: int = 4, d_sae: int = 200) -> Step:
    """A step in which each row has `l0` codes."""
    f = torch.zeros(rows, d_sae)
    f[:, :l0] = 1.0
    x = torch.zeros(rows, 2)
    return Step(x, x, f, f, x)


def two_latents(**changes: object) -> tuple[Lagrangian, Step]:
    """pre = (3, 1), θ = (2, 2), ε = 3: the first fires, both are in the window; x = (3, 1), y_hat = (3, 0), R = 1."""
    sae = Lagrangian(d_in=2, d_sae=2, normalize="none", decoder="free", bandwidth=3.0, **changes)  # type: ignore[arg-type]
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(2))
        sae.W_dec.copy_(torch.eye(2))
        sae.threshold.fill_(2.0)
    return sae, sae.step(torch.tensor([[3.0, 1.0]]))


def toy(seed: int, n: int = 256) -> torch.Tensor:
    """Sparse sums of 32 directions in 16 dimensions, four on average."""
    atoms = torch.nn.functional.normalize(torch.randn(32, 16, generator=torch.Generator().manual_seed(7)), dim=1)
    g = torch.Generator().manual_seed(seed)
    return ((torch.rand(n, 32, generator=g) < 1 / 8) * (1 + torch.rand(n, 32, generator=g))) @ atoms


def held(sae: Lagrangian, dtype: torch.dtype = torch.float32) -> float:
    """L0 over its target on new rows, in evaluation."""
    f = sae.eval().encode(toy(10**6, 4096).to(dtype))
    return (f != 0).sum().item() / len(f) / sae.dual.target


def test_augmented_by_hand() -> None:
    # L0 = 1 of a target of 2: nu = -0.5; R = 1, lambda = 0.2, rho = 1: 0.2 (-0.5) + 0.5 (0.25) = 0.025
    sae, step = two_latents(target_l0=2, rho=1.0)
    sae.multiplier.fill_(0.2)
    term = sae.losses(step)["sparsity"]
    assert sae.losses(step)["recon"].item() == 1.0
    assert term.item() == pytest.approx(0.025)
    # d term / d L0 = R (lambda + rho nu) / L* = -0.15; d L0 / d theta = -1 / 3 in the window, d L0 / d pre = 1 / 3
    term.backward()
    assert sae.threshold.grad is not None and sae.b_enc.grad is not None
    assert sae.threshold.grad.tolist() == pytest.approx([0.05, 0.05])
    assert sae.b_enc.grad.tolist() == pytest.approx([-0.05, -0.05])


def test_pressure_stays_on_thresholds_if_asked() -> None:
    sae, step = two_latents(target_l0=2, ste_to_input=False)
    sae.losses(step)["sparsity"].backward()
    assert sae.threshold.grad is not None and sae.threshold.grad.all()
    assert sae.b_enc.grad is None or not sae.b_enc.grad.any()


@pytest.mark.parametrize(
    ("multiplier", "l0", "equal", "unequal", "slope"),
    [
        (0.2, 6.0, 2.25, 2.25, 1.75),  # nu = 0.5: 10 (0.1 + 0.125); slope 10 (0.2 + 0.5) / 4
        (0.6, 2.0, -1.75, -1.75, 0.25),  # nu = -0.5, but 0.6 - 0.5 > 0: still a price; 10 (-0.3 + 0.125)
        (0.2, 2.0, 0.25, -0.2, 0.0),  # 0.2 - 0.5 < 0: free of charge below the target; -10 (0.04) / 2
        (0.0, 4.0, 0.0, 0.0, 0.0),
    ],
)
def test_an_inequality_has_no_price_below_zero(
    multiplier: float, l0: float, equal: float, unequal: float, slope: float
) -> None:
    price, error = torch.tensor(multiplier), torch.tensor(10.0)
    for equality, expected in ((True, equal), (False, unequal)):
        count = torch.tensor(l0, requires_grad=True)
        dual = Dual(target=4, lr=0.1, rho=1.0, equality=equality, lower=-INF, upper=INF)
        term = dual.penalty(price, count, error, 3)
        assert term.item() == pytest.approx(expected)
        term.backward()
        if not equality:
            assert count.grad is not None and count.grad.item() == pytest.approx(slope)


def test_without_rho_an_inequality_is_linear_or_nothing() -> None:
    dual = Dual(target=4, lr=0.1, rho=0.0, equality=False, lower=0, upper=INF)
    for multiplier, expected in ((0.5, -0.25), (0.0, 0.0)):
        count = torch.tensor(2.0, requires_grad=True)
        term = dual.penalty(torch.tensor(multiplier), count, torch.tensor(1.0), 3)
        assert term.item() == pytest.approx(expected)
        term.backward()
        assert count.grad is not None and count.grad.item() == pytest.approx(multiplier / 4)


def test_the_multiplier_integrates_relative_violations() -> None:
    sae = Lagrangian(d_in=2, d_sae=200, target_l0=10, dual_lr=0.1, l0_memory=0.9)
    # l0_ema: 10 -> 9 + 2 = 11 -> 9.9 + 3 = 12.9 -> 11.61 + 0; violation 0.1, 0.29, 0.161
    for l0, ema, multiplier in ((20, 11.0, 0.01), (30, 12.9, 0.039), (0, 11.61, 0.0551)):
        sae.track_(firing(l0))
        assert sae.l0_ema.item() == pytest.approx(ema, rel=1e-5)
        assert sae.multiplier.item() == pytest.approx(multiplier, rel=1e-4)
    facts = sae.facts()
    assert facts["violation"].item() == pytest.approx(0.161, rel=1e-4)
    assert set(facts) == {"multiplier", "l0_ema", "violation", "threshold"}


def test_reference_equality_by_hand() -> None:
    sae = Lagrangian(
        d_in=2, d_sae=200, target_l0=4, dual="reference", dual_lr=0.01, l0_memory=0.99, rho=0.1, multiplier_max=0.025,
        multiplier_min=-0.012,
    )  # fmt: skip
    # R starts at 4. L0 = 104: R = 3.96 + 1.04 = 5, alpha = 0.01. L0 = 5: R = 5, alpha = 0.02. L0 = 5: 0.03, the cap.
    # L0 = 0: R = 4.95, cap again. L0 = 0 until R < 4; then alpha falls by 0.01 (4 - R) a step, down to its lower bound.
    for l0, ema, alpha in ((104, 5.0, 0.01), (5, 5.0, 0.02), (5, 5.0, 0.025), (0, 4.95, 0.025)):
        sae.track_(firing(l0))
        assert sae.l0_ema.item() == pytest.approx(ema, rel=1e-5)
        assert sae.multiplier.item() == pytest.approx(alpha, rel=1e-4)
    sae.l0_ema.fill_(3.0)
    sae.track_(firing(3))
    assert sae.multiplier.item() == pytest.approx(0.015, rel=1e-4)
    for _ in range(3):
        sae.track_(firing(3))
    assert sae.multiplier.item() == pytest.approx(-0.012, rel=1e-4)


def test_reference_inequality_by_hand() -> None:
    sae = Lagrangian(
        d_in=2, d_sae=200, target_l0=4, dual="reference", constraint="inequality", dual_lr=0.01, l0_memory=0.5
    )
    # R: 4 -> 2 (alpha stays 0) -> 7 (0.03) -> 4.5 (0.035) -> 2.25 (0.0175) -> 1.125 (-0.01125: 0)
    for l0, ema, alpha in ((0, 2.0, 0.0), (12, 7.0, 0.03), (2, 4.5, 0.035), (0, 2.25, 0.0175), (0, 1.125, 0.0)):
        sae.track_(firing(l0))
        assert sae.l0_ema.item() == pytest.approx(ema, rel=1e-5)
        assert sae.multiplier.item() == pytest.approx(alpha, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize(("l0", "equal", "unequal"), [(6.0, 0.105, 0.105), (2.0, 0.045, 0.0)])
def test_reference_penalty_is_d_times_its_own(l0: float, equal: float, unequal: float) -> None:
    # nu = 0.5 or -0.5, alpha = 0.02, rho = 0.1, d = 3: 3 (0.01 + 0.025) and 3 (-0.01 + 0.025)
    for equality, expected in ((True, equal), (False, unequal)):
        dual = ReferenceDual(target=4, lr=0.1, rho=0.1, equality=equality, lower=-1, upper=1)
        assert dual.penalty(torch.tensor(0.02), torch.tensor(l0), torch.tensor(9.0), 3).item() == pytest.approx(
            expected
        )


def test_latents_start_at_their_share_of_rows_with_a_quarter_of_it_as_threshold() -> None:
    x = toy(0, 2000)
    sae = Lagrangian(d_in=16, d_sae=64, target_l0=4, start_l0=4)
    plain = Lagrangian(d_in=16, d_sae=64, target_l0=4)
    plain.load_state_dict(sae.state_dict())
    plain.init_from_(x)
    pre = plain.preactivate(plain.norm(x))
    sae.init_from_(x)
    fired = (sae.encode(x) != 0).sum(0)
    assert (fired - 125).abs().max() <= 1
    level = pre.sort(0).values[2000 - 125 - 1]
    torch.testing.assert_close(sae.threshold.detach(), level / 4)


@pytest.mark.parametrize(
    ("kind", "target", "scale"), [(Lagrangian, 2, 0.01), (Lagrangian, 6, 100.0), (MatryoshkaLagrangian, 4, 1.0)]
)
def test_l0_gets_to_its_target_whatever_the_scale(kind: type[Lagrangian], target: int, scale: float) -> None:
    torch.manual_seed(0)
    sae = kind(d_in=16, d_sae=64, target_l0=target, start_l0=2 * target)  # from twice the target
    sae.init_from_(scale * toy(10**5, 2048))
    train(sae, [scale * toy(i) for i in range(400)], lr=3e-3)
    f = sae.eval().encode(scale * toy(10**6, 4096))
    assert (f != 0).sum().item() / len(f) == pytest.approx(target, rel=0.06)
    assert (sae.threshold >= 0).all()


def test_an_inequality_leaves_what_is_below_alone() -> None:
    torch.manual_seed(0)
    sae = Lagrangian(d_in=16, d_sae=64, target_l0=60, start_l0=4, constraint="inequality")
    sae.init_from_(toy(10**5, 2048))
    train(sae, [toy(i) for i in range(100)], lr=3e-3)
    assert held(sae) < 0.7
    assert sae.multiplier.item() == 0.0


def test_an_ema_of_74_5_moves_in_bf16() -> None:
    sae = Lagrangian(d_in=2, d_sae=200, target_l0=74, l0_memory=0.99, dual_lr=0.01).to(torch.bfloat16)
    sae.l0_ema.fill_(74.5)
    step = Step(*(part.to(torch.bfloat16) for part in firing(75)[:5]))
    for n in range(1, 4):
        sae.track_(step)
        assert sae.l0_ema.item() == pytest.approx(75 - 0.5 * 0.99**n, abs=1e-4)
    assert sae.l0_ema.dtype == sae.multiplier.dtype == sae.threshold.dtype == torch.float32
    assert sae.multiplier.item() > 0


def test_casts_do_not_round_the_controller() -> None:
    sae = Lagrangian(d_in=2, d_sae=4, target_l0=1)
    with torch.no_grad():
        sae.multiplier.fill_(1.001)
        sae.threshold.fill_(1.001)
    sae.to(torch.bfloat16).to(torch.float32)
    assert sae.multiplier.item() == pytest.approx(1.001)
    assert sae.threshold[0].item() == pytest.approx(1.001)


def test_pure_bf16_reaches_its_target() -> None:
    torch.manual_seed(0)
    sae = Lagrangian(d_in=16, d_sae=64, target_l0=4, start_l0=8)
    sae.init_from_(toy(10**5, 2048))
    sae.to(torch.bfloat16)
    train(sae, [toy(i).to(torch.bfloat16) for i in range(400)], lr=3e-3)
    assert held(sae, torch.bfloat16) == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"target_l0": 0}, "target_l0=0"),
        ({"target_l0": 9}, "d_sae=8"),
        ({"dual_lr": 0.0}, "dual_lr=0.0"),
        ({"rho": -1.0}, "rho=-1.0"),
        ({"l0_memory": 1.0}, "l0_memory=1.0"),
        ({"multiplier_min": 0.5}, "multiplier_min=0.5"),
        ({"multiplier_max": -0.5}, "multiplier_max=-0.5"),
        ({"bandwidth": 0.0}, "bandwidth=0.0"),
    ],
)
def test_rules(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Lagrangian(**({"d_in": 4, "d_sae": 8, "target_l0": 2} | wrong))  # type: ignore[arg-type]
