"""Models of a dense and a sparse part: their streams, and each one's inference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from variants import make, rows, train

from saelab.sae import DenSaE, DenseVAESparse
from saelab.sae.proximal import largest_eigenvalue, shrink
from saelab.sae.two_stream import TwoStream

BOTH = ["densae", "dense_vae_sparse"]
SMALL: dict[str, Any] = {"d_in": 6, "d_sae": 16, "normalize": "none"}


def descent(sae: DenSaE, x: Tensor) -> Tensor:
    """F of each row after 0, 1, 2, ... iterations, `[iterations + 1, b]`."""
    return torch.stack([descent_end(sae, x, iterations) for iterations in range(sae.iterations + 1)])


@torch.no_grad()
def descent_end(sae: DenSaE, x: Tensor, iterations: int | None = None) -> Tensor:
    """F of each row after the last iteration, or after so many."""
    problem = sae.problem(sae.norm(x))
    steps = sae.iterations if iterations is None else iterations
    codes = problem.minimise(sae.guess(problem), steps, momentum=sae.momentum)
    return problem.value(codes, codes @ problem.atoms)


def assert_never_rises(values: Tensor) -> None:
    assert values.isfinite().all()
    assert (values[1:] - values[:-1] <= 1e-5 * (1 + values[:-1].abs())).all()
    assert (values[-1] <= 0.99 * values[0]).double().mean() > 0.9  # and does fall


@pytest.mark.parametrize("normalize", ["none", "scale", "whiten", "layer_norm"])
@pytest.mark.parametrize("name", BOTH)
def test_the_streams_add_up_in_the_users_space(name: str, normalize: str) -> None:
    sae, x = make(name, normalize=normalize).eval(), rows(32)
    assert isinstance(sae, TwoStream)
    streams = sae.streams(x)
    torch.testing.assert_close(streams.dense + streams.sparse, sae(x))
    torch.testing.assert_close(streams.f, sae.encode(x))
    torch.testing.assert_close(sae.decode(streams.f, x), sae(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sae.decode(torch.zeros_like(streams.f), x), streams.dense, rtol=1e-4, atol=1e-4)
    step = sae.step(x)
    assert step.dense is not None
    torch.testing.assert_close(step.dense.y_dense + step.dense.y_sparse, step.y_hat)
    torch.testing.assert_close(step.dense.z, streams.z)


@pytest.mark.parametrize("name", BOTH)
def test_codes_alone_are_not_enough_to_decode(name: str) -> None:
    sae = make(name).eval()
    with pytest.raises(ValueError, match=r"decode\(f, x\)"):
        sae.decode(sae.encode(rows(4)))


@pytest.mark.parametrize("name", BOTH)
def test_forward_infers_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sae, calls = make(name), []
    infer = sae.infer
    monkeypatch.setattr(sae, "infer", lambda x: calls.append(1) or infer(x))
    sae(rows(4))
    sae.step(rows(4))
    assert len(calls) == 2


def test_shrink_by_hand() -> None:
    v = torch.tensor([-3.0, -0.5, 0.5, 3.0])
    assert shrink(v, 1.0).tolist() == [0.0, 0.0, 0.0, 2.0]
    assert shrink(v, 1.0, signed=True).tolist() == [-2.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize("shape", [(3, 8), (40, 8), (200, 200)])
def test_the_bound_on_the_largest_eigenvalue_is_above_and_near(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for atoms in (torch.randn(shape), torch.randn(shape) + 2, torch.eye(*shape)):
        exact = torch.linalg.matrix_norm(atoms.double(), 2).item() ** 2
        assert exact * (1 - 1e-6) <= largest_eigenvalue(atoms).item() <= 1.1 * exact


def test_densae_by_hand() -> None:
    sae = DenSaE(
        d_in=2, d_sae=1, n_dense=1, iterations=1, l1=0.5, ridge=1.0, normalize="none", momentum=False, amortize=False
    )
    with torch.no_grad():
        sae.W_dense.copy_(torch.tensor([[1.0, 0.0]]))
        sae.W_dec.copy_(torch.tensor([[0.0, 1.0]]))
        sae.lipschitz.fill_(2.0)  # eigenvalue 1 of orthogonal atoms, and the ridge
    x = torch.tensor([[4.0, 3.0]])
    # from 0: z = 4 / 2; f = (3 - 0.5) / 2; what is left is (2, 1.75), so pre = 1.25 + (1.75 - 0.5) / 2
    step = sae.step(x)
    assert step.dense is not None
    assert (step.dense.z.item(), step.f.item(), step.pre.item()) == (2.0, 1.25, 1.875)
    terms = sae.losses(step)
    assert terms["recon"].item() == 4 + 1.75**2
    assert terms["sparsity"].item() == 0.5 * 1.25
    # F = 1/2 (4 + 1.75^2) + 1/2 (1) 2^2 + 0.5 (1.25)
    value = sae.problem(x).value(torch.tensor([[2.0, 1.25]]), torch.tensor([[2.0, 1.25]]))
    assert value.item() == pytest.approx((4 + 1.75**2) / 2 + 2 + 0.625)
    sae.iterations = 60  # to the minimum: z = 4 / (1 + ridge), f = 3 - l1
    step = sae.step(x)
    assert step.dense is not None
    torch.testing.assert_close(torch.cat([step.dense.z, step.f], 1), torch.tensor([[2.0, 2.5]]))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("amortize", [False, True])
def test_inference_never_climbs(signed: bool, momentum: bool, amortize: bool) -> None:
    """At the start, after training, and for dictionaries whose atoms nearly coincide."""
    torch.manual_seed(0)
    sae = DenSaE(**SMALL, n_dense=3, iterations=25, l1=0.5, signed=signed, momentum=momentum, amortize=amortize)
    x = rows(64)
    sae.init_from_(rows(512))
    assert_never_rises(descent(sae, x))
    train(sae, [rows(64, seed=i) for i in range(10)])
    values = descent(sae, x)
    assert values.isfinite().all() and (values[1:] - values[:-1] <= 1e-5 * (1 + values[:-1])).all()
    with torch.no_grad():
        sae.W_dec.copy_(1 + 1e-3 * torch.randn(16, 6))
        sae.W_dense.copy_(1 + 1e-3 * torch.randn(3, 6))
    sae.project_()
    assert sae.lipschitz.item() == pytest.approx(19 + 0.1, rel=0.01)
    values = descent(sae, x)
    assert values.isfinite().all() and (values[1:] - values[:-1] <= 1e-5 * (1 + values[:-1])).all()


def test_fixed_steps_diverge_where_ours_converge() -> None:
    """A toy that was once trained so: 3 dense and 200 sparse unit atoms in 16 dimensions, steps of 0.25."""
    torch.manual_seed(0)
    sae = DenSaE(d_in=16, d_sae=200, n_dense=3, iterations=15, l1=0.1, ridge=0.0, normalize="none", amortize=False)
    x = torch.randn(64, 16)
    A, B = sae.W_dense.detach(), sae.W_dec.detach()
    z, f, errors = torch.zeros(64, 3), torch.zeros(64, 200), []
    for _ in range(15):
        r = x - z @ A - f @ B
        errors.append(r.square().mean().item())
        z, f = z + 0.25 * r @ A.T, shrink(f + 0.25 * r @ B.T, 0.1)
    assert 2 / sae.lipschitz.item() < 0.25  # the longest step that is safe
    assert errors[-1] > 1e3 * errors[0]
    values = descent(sae, x)
    assert_never_rises(values)
    assert (x - sae(x)).square().mean() < 0.3 * errors[0]


def test_accelerated_inference_gets_further() -> None:
    torch.manual_seed(0)
    options = SMALL | {"n_dense": 3, "l1": 0.5, "amortize": False}
    plain, fast = (DenSaE(**options, iterations=30, momentum=m) for m in (False, True))
    fast.load_state_dict(plain.state_dict())
    x = rows(64)
    exact = DenSaE(**options, iterations=3000)
    exact.load_state_dict(plain.state_dict())
    least = descent_end(exact, x)
    assert (descent_end(fast, x) - least).mean() < 0.2 * (descent_end(plain, x) - least).mean()


def test_densaes_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    sae = DenSaE(d_in=4, d_sae=6, n_dense=2, iterations=4, l1=0.3, normalize="none", amortize=True).double()
    x, names = torch.randn(3, 4).double(), ["W_dense", "W_dec", "b_dec", "W_enc", "b_enc", "W_start"]

    def reconstruction(*values: Tensor) -> Tensor:
        return torch.func.functional_call(sae, dict(zip(names, values, strict=True)), (x,))

    inputs = [getattr(sae, name).detach().clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(reconstruction, inputs, atol=1e-6)


def test_densaes_atoms_stay_at_norm_one() -> None:
    sae = make("densae")
    assert isinstance(sae, DenSaE)
    train(sae, [rows(64, seed=i) for i in range(5)])
    torch.testing.assert_close(sae.atoms().norm(dim=1), torch.ones(len(sae.atoms())))
    exact = torch.linalg.matrix_norm(sae.atoms().detach(), 2) ** 2 + sae.ridge
    assert exact <= sae.facts()["lipschitz"] <= 1.1 * exact


def test_kl_by_hand() -> None:
    sae = DenseVAESparse(**SMALL, z_dim=2, k=4, beta=0.5)
    step = sae.step(rows(3))
    assert step.dense is not None
    mean, log_var = torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[0.0, 2.0]] * 3)
    step = step._replace(dense=step.dense._replace(mean=mean, log_var=log_var))
    # 1/2 (1 + 1 - 1 - 0) + 1/2 (e^2 + 0 - 1 - 2)
    assert sae.losses(step)["kl"].item() == pytest.approx(0.5 * (0.5 + (7.389056 - 3) / 2), rel=1e-5)


def test_dense_codes_are_sampled_in_training_and_not_after() -> None:
    sae, x = make("dense_vae_sparse"), rows(4000)
    assert isinstance(sae, DenseVAESparse)
    torch.manual_seed(0)
    a, b = sae.step(x).dense, sae.step(x).dense
    assert a is not None and b is not None and a.mean is not None and a.log_var is not None
    assert not torch.equal(a.z, b.z)
    spread = ((a.z - a.mean) / (a.log_var / 2).exp()).std(0)
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=0.05, rtol=0)
    sae.eval()
    c = sae.step(x).dense
    assert c is not None and c.mean is not None and torch.equal(c.z, c.mean)
    assert torch.equal(sae(x), sae(x))


def test_kl_warms_up_and_the_warm_up_completes() -> None:
    sae = DenseVAESparse(**SMALL, k=4, beta=0.2, kl_warmup=0.5)
    x = rows(16).clone()
    assert sae.facts()["beta"].item() == pytest.approx(0.2)
    seen = []
    for step in range(10):
        sae.anneal_(step / 10)
        seen.append(round(sae.facts()["beta"].item(), 4))
    assert seen == [0.0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.2, 0.2, 0.2, 0.2]
    sae.anneal_(0.25)
    torch.manual_seed(0)
    half = sae.losses(sae.step(x))["kl"]
    sae.anneal_(0.9)
    torch.manual_seed(0)
    torch.testing.assert_close(sae.losses(sae.step(x))["kl"], 2 * half)
    without = DenseVAESparse(**SMALL, k=4, beta=0.2, kl_warmup=0.0)
    without.anneal_(0.0)
    assert without.facts()["beta"].item() == pytest.approx(0.2)


def test_the_dense_stream_has_a_head_start() -> None:
    sae, x = DenseVAESparse(**SMALL, k=4, dense_first=0.25, dead_after=10), rows(32)
    sae.anneal_(0.2)
    step = sae.step(x)
    assert step.dense is not None and not step.f.any()
    assert torch.equal(step.y_hat, step.dense.y_dense)
    sae.track_(step)
    assert not sae.dead.any()  # what may not fire does not age
    sae.anneal_(0.25)
    step = sae.step(x)
    assert step.f.any()
    sae.track_(step)
    assert torch.equal(sae.idle > 0, ~(step.f != 0).any(0))


def test_dense_codes_start_with_little_noise() -> None:
    dense = make("dense_vae_sparse").step(rows(512)).dense
    assert dense is not None and dense.log_var is not None
    torch.testing.assert_close(dense.log_var, torch.full_like(dense.log_var, -4.0), atol=1.0, rtol=0)


def test_variances_are_clamped() -> None:
    sae = DenseVAESparse(**SMALL, k=4, z_dim=2)
    with torch.no_grad():
        sae.dense_encoder[-1].bias.copy_(torch.tensor([0.0, 0.0, 1e4, -1e4]))
    dense = sae.step(rows(8)).dense
    assert dense is not None and dense.log_var is not None
    assert dense.log_var.amax(0).tolist() == [10.0, -20.0]
    assert all(v.isfinite() for v in sae.losses(sae.step(rows(8))).values())


def test_the_sparse_branch_is_topk_or_shrinks() -> None:
    x = rows(50)
    assert (DenseVAESparse(**SMALL, k=4).encode(x) != 0).sum(1).max() <= 4
    sae = DenseVAESparse(**SMALL, select="shrink", l1=0.5)
    step = sae.step(x)
    torch.testing.assert_close(step.f, step.pre.relu())
    torch.testing.assert_close(sae.losses(step)["sparsity"], 0.5 * step.f.sum(1).mean())
    assert "sparsity" not in DenseVAESparse(**SMALL, k=4).losses(step)


@pytest.mark.parametrize(
    ("kind", "wrong", "says"),
    [
        (DenSaE, {"d_out": 3}, "cannot be a transcoder"),
        (DenSaE, {"decoder": "free"}, "decoder=unit"),
        (DenSaE, {"start_l0": 2.0}, "start_l0=2.0"),
        (DenSaE, {"n_dense": 0}, "n_dense=0"),
        (DenSaE, {"iterations": 0}, "iterations=0"),
        (DenSaE, {"l1": -1.0}, "l1=-1.0"),
        (DenseVAESparse, {"z_dim": 0}, "z_dim=0"),
        (DenseVAESparse, {"k": 17}, "d_sae=16"),
        (DenseVAESparse, {"k": 4, "beta": -1.0}, "beta=-1.0"),
        (DenseVAESparse, {"k": 4, "kl_warmup": 2.0}, "kl_warmup=2.0 is a fraction of training"),
        (DenseVAESparse, {"k": 4, "dense_first": -0.1}, "dense_first=-0.1 is a fraction of training"),
    ],
)
def test_rules(kind: type[TwoStream], wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**(SMALL | wrong))
