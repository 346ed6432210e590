"""Inference of two codes under each likelihood: its minimum by hand, by naive steps and by scipy; it never climbs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from variants import train

from saelab.sae import DenSaE
from saelab.sae.init import unit_rows
from saelab.sae.likelihood import Kind

FORMS: list[tuple[Kind, float]] = [("gaussian", 1.0), ("gaussian", 3.0), ("bernoulli", 1.0), ("bernoulli", 8.0)]
forms = pytest.mark.parametrize(("kind", "p"), FORMS)


def small(kind: Kind, p: float, **changes: Any) -> DenSaE:
    torch.manual_seed(0)
    options = {"d_in": 6, "d_sae": 12, "n_dense": 3, "l1": 0.1, "ridge": 0.1} | changes
    sae = DenSaE(likelihood=kind, pos_weight=p, normalize="none", **options)  # type: ignore[arg-type]
    with torch.no_grad():
        sae.b_dec.copy_(torch.randn(sae.d_in))
    return sae


@torch.no_grad()
def path(sae: DenSaE, x: Tensor, iterations: int) -> Tensor:
    """F of each row after 0, 1, 2, 3, 5, 8, ... and at last so many iterations."""
    problem, values = sae.problem(x), []
    for steps in [n for n in (0, 1, 2, 3, 5, 8, 13, 21, 34) if n < iterations] + [iterations]:
        codes = problem.minimise(sae.guess(problem), steps, momentum=sae.momentum)
        values.append(problem.value(codes, codes @ problem.atoms))
    return torch.stack(values)


def naive(sae: DenSaE, x: Tensor, codes: Tensor) -> Tensor:
    """F of one row, written out."""
    z, f = codes[: sae.n_dense], codes[sae.n_dense :]
    y_hat, total, p = z @ sae.W_dense + f @ sae.W_dec + sae.b_dec, torch.zeros(()).double(), sae.likelihood.pos_weight
    for target, output in zip(x, y_hat, strict=True):
        if sae.likelihood.bernoulli:
            on = 1 / (1 + (-output).exp())
            total = total - p * target * on.log() - (1 - target) * (1 - on).log()
        else:
            total = total + (1 + (p - 1) * target) * (target - output) ** 2 / 2
    return total + sae.ridge / 2 * (z**2).sum() + sae.l1 * f.abs().sum()


def test_a_step_on_logits_by_hand() -> None:
    sae = DenSaE(
        d_in=2,
        d_sae=1,
        n_dense=1,
        iterations=1,
        l1=0.05,
        ridge=0.75,
        normalize="none",
        likelihood="bernoulli",
        momentum=False,
        amortize=False,
    )
    with torch.no_grad():
        sae.W_dense.copy_(torch.tensor([[1.0, 0.0]]))
        sae.W_dec.copy_(torch.tensor([[0.0, 1.0]]))
        sae.project_()
        assert sae.lipschitz.item() == pytest.approx(0.25 + 0.75, rel=5e-3)
        sae.lipschitz.fill_(1.0)
    # from zero, logits are 0 and the residual is (1, 1) - 1/2: z = 1/2, f = 1/2 - 0.05
    step = sae.step(torch.tensor([[1.0, 1.0]]))
    assert step.dense is not None
    assert (step.dense.z.item(), step.f.item()) == (0.5, pytest.approx(0.45))
    assert step.y_hat.tolist() == [[0.5, pytest.approx(0.45)]]
    terms = sae.losses(step)
    assert terms["recon"].item() == pytest.approx(np.log1p(np.exp(-0.5)) + np.log1p(np.exp(-0.45)))
    assert terms["sparsity"].item() == pytest.approx(0.05 * 0.45)
    # pre: what one more step would shrink
    assert step.pre.item() == pytest.approx(0.45 + 1 - 1 / (1 + np.exp(-0.45)) - 0.05, rel=1e-5)


@forms
def test_the_objective_is_that_of_loops(kind: Kind, p: float) -> None:
    sae, x = small(kind, p).double(), torch.rand(4, 6).double()
    codes, problem = torch.randn(4, 15).double(), sae.problem(x)
    values = problem.value(codes, codes @ problem.atoms)
    for row, code, value in zip(x, codes, values, strict=True):
        torch.testing.assert_close(naive(sae, row, code), value)


def smooth(sae: DenSaE, x: Tensor, codes: Tensor) -> Tensor:
    """F without its penalty, summed over rows, by torch's own losses."""
    y_hat = codes[:, : sae.n_dense] @ sae.W_dense + codes[:, sae.n_dense :] @ sae.W_dec + sae.b_dec
    p = sae.likelihood.pos_weight
    if sae.likelihood.bernoulli:
        fit = binary_cross_entropy_with_logits(y_hat, x, pos_weight=torch.tensor(p), reduction="sum")
    else:
        fit = ((1 + (p - 1) * x) * (x - y_hat) ** 2).sum() / 2
    return fit + sae.ridge / 2 * codes[:, : sae.n_dense].square().sum()


@forms
def test_the_minimum_is_that_of_plain_gradient_steps_and_of_scipy(kind: Kind, p: float) -> None:
    sae, x = small(kind, p, d_sae=8, ridge=0.5).double(), torch.rand(2, 6).double()
    problem = sae.problem(x)
    codes = problem.minimise(sae.guess(problem), 600, momentum=True)
    found = problem.value(codes, codes @ problem.atoms)
    plain, pace = torch.zeros(2, 11).double(), 1 / (2 * problem.lipschitz)
    for _ in range(2000):
        plain.requires_grad_()
        (slope,) = torch.autograd.grad(smooth(sae, x, plain), plain)
        plain = (plain - pace * slope).detach()
        plain[:, 3:] = (plain[:, 3:] - pace * sae.l1).relu()
    reached = torch.stack([naive(sae, row, code) for row, code in zip(x, plain, strict=True)])
    torch.testing.assert_close(found, reached, rtol=1e-3, atol=1e-6)
    assert (found <= reached + 1e-9).all()

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        c = torch.tensor(flat).reshape(2, 11).requires_grad_()
        value = smooth(sae, x, c) + sae.l1 * c[:, 3:].sum()
        return value.item(), torch.autograd.grad(value, c)[0].numpy().ravel()

    bounds = ([(None, None)] * 3 + [(0, None)] * 8) * 2
    best = minimize(value_and_slope, np.zeros(22), jac=True, bounds=bounds, options={"maxiter": 2000, "ftol": 1e-14})
    assert found.sum().item() == pytest.approx(best.fun, rel=1e-5)


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("amortize", [False, True])
@forms
def test_it_never_climbs(kind: Kind, p: float, amortize: bool, momentum: bool) -> None:
    """For random atoms, atoms that nearly coincide, and atoms that have been trained; in many iterations."""
    for alike in (0.0, 3.0):
        sae = small(kind, p, amortize=amortize, momentum=momentum)
        with torch.no_grad():
            sae.W_dec.copy_(torch.nn.functional.normalize(unit_rows(12, 6) + alike * unit_rows(1, 6)))
            sae.project_()
        assert_falls(path(sae.double(), torch.rand(16, 6).double(), 40))
    sae = small(kind, p, amortize=amortize, momentum=momentum)
    train(sae, [torch.rand(64, 6) for _ in range(20)])
    assert_falls(path(sae.double(), torch.rand(16, 6).double(), 40))


def assert_falls(values: Tensor) -> None:
    assert values.isfinite().all()
    assert (values[1:] - values[:-1] <= 1e-9 * (1 + values[:-1].abs())).all()
    assert (values[-1] < values[0]).all()


@pytest.mark.parametrize("p", [1.0, 8.0])
def test_a_longer_step_would_climb(p: float) -> None:
    """The bound is not slack: steps ten times as long blow up where these do not."""
    sae = small("bernoulli", p, d_sae=60, momentum=False, amortize=False, l1=0.0)
    with torch.no_grad():
        sae.b_dec.zero_()
        sae.W_dec.copy_(torch.nn.functional.normalize(unit_rows(1, 6) + 0.1 * unit_rows(60, 6)))
        sae.project_()
        x = torch.rand(4, 6).double().round()
        assert_falls(path(sae.double(), x, 30))
        sae.lipschitz.div_(10)
        values = path(sae, x, 30)
    assert (values[1:] - values[:-1]).max() > 0.1
