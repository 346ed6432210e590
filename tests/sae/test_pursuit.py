"""Matching pursuit and its orthogonal form: by hand, against loops over rows and scikit-learn, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.linear_model import orthogonal_mp
from torch import Tensor

from saelab.sae import OMP, MatchingPursuit
from saelab.sae.pursuit import Pursuit

REPEATS = ["add", "stop", "exclude"]


def two_atoms(sae: Pursuit) -> Pursuit:
    """W_dec = [(1, 0), (0.6, 0.8)], b_dec = 0, no scaling."""
    with torch.no_grad():
        sae.W_dec.copy_(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    return sae


def small(kind: type[Pursuit], **changes: Any) -> Pursuit:
    """Coherent atoms in double precision, with a decoder bias."""
    torch.manual_seed(0)
    sae = kind(**({"d_in": 6, "d_sae": 20, "k": 8, "normalize": "none"} | changes)).double()
    with torch.no_grad():
        sae.W_dec.add_(0.3)
        sae.b_dec.copy_(torch.randn(6))
    sae.project_()
    return sae


def naive_pursuit(sae: MatchingPursuit, x: Tensor) -> Tensor:
    """Unrolled steps on one row, in autograd."""
    r, f, picked = x - sae.b_dec, torch.zeros(sae.d_sae, dtype=x.dtype), set()
    floor = 1e-5 * r.norm()
    for _ in range(sae.k):
        corr = sae.W_dec @ r
        score = (corr.abs() if sae.signed else corr).detach().clone()
        if sae.repeats == "exclude":
            score[list(picked)] = 0
        j = int(score.argmax())
        if score[j] <= floor or r.norm() <= sae.residual_threshold:
            break
        again = j in picked
        picked.add(j)
        f = f + corr[j] * torch.nn.functional.one_hot(torch.tensor(j), sae.d_sae)
        r = r - corr[j] * sae.W_dec[j]
        if again and sae.repeats == "stop":
            break
    return f


def naive_orthogonal(x: np.ndarray, D: np.ndarray, k: int) -> np.ndarray:
    """Non-negative: the best atom joins, scipy's least squares decide who stays."""
    support: list[int] = []
    f = np.zeros(len(D))
    for _ in range(k):
        corr = D @ (x - f @ D)
        if corr.max() <= 1e-5 * np.linalg.norm(x):
            break
        support.append(int(corr.argmax()))
        f = np.zeros(len(D))
        f[support] = nnls(D[support].T, x)[0]
        support = [j for j in support if f[j] > 0]
    return f


def test_matching_pursuit_by_hand() -> None:
    sae = two_atoms(MatchingPursuit(d_in=2, d_sae=2, k=2, normalize="none"))
    # (3, 1) correlates 3 and 2.6: take 3 of the first, (0, 1) is left, which correlates 0 and 0.8: 0.8 of the second
    step = sae.step(torch.tensor([[3.0, 1.0], [-1.0, 0.0]]))
    torch.testing.assert_close(step.pre, torch.tensor([[3.0, 2.6], [-1.0, -0.6]]))
    torch.testing.assert_close(step.f, torch.tensor([[3.0, 0.8], [0.0, 0.0]]))
    # what is left is (0, 1) - 0.8 (0.6, 0.8) = (-0.48, 0.36), of square 0.36, and the whole of the second row
    torch.testing.assert_close(sae.losses(step)["recon"], torch.tensor((0.36 + 1) / 2))


def test_orthogonal_by_hand() -> None:
    sae = two_atoms(OMP(d_in=2, d_sae=2, k=2, normalize="none"))
    # (3, 1) = 2.25 (1, 0) + 1.25 (0.6, 0.8)
    torch.testing.assert_close(sae.encode(torch.tensor([[3.0, 1.0]])), torch.tensor([[2.25, 1.25]]))
    # (3, -1): the first atom alone, since the second would be negative ...
    torch.testing.assert_close(sae.encode(torch.tensor([[3.0, -1.0]])), torch.tensor([[3.0, 0.0]]))
    # ... (1, 3): first the second atom, 3 of it, (-0.8, 0.6) is left, and the first would be negative
    torch.testing.assert_close(sae.encode(torch.tensor([[1.0, 3.0]])), torch.tensor([[0.0, 3.0]]))
    free = two_atoms(OMP(d_in=2, d_sae=2, k=2, normalize="none", signed=True))
    torch.testing.assert_close(free.encode(torch.tensor([[1.0, 3.0]])), torch.tensor([[-1.25, 3.75]]))


@pytest.mark.parametrize("repeats", REPEATS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("residual_threshold", [0.0, 1.0])
def test_matching_pursuit_is_the_unrolled_loop_in_values_and_gradients(
    repeats: str, signed: bool, residual_threshold: float
) -> None:
    options = {"repeats": repeats, "signed": signed, "residual_threshold": residual_threshold}
    sae = small(MatchingPursuit, **options)
    assert isinstance(sae, MatchingPursuit)
    x, weight = 2 * torch.randn(12, 6).double(), torch.randn(12, 20).double()
    f, naive = sae.encode(x), torch.stack([naive_pursuit(sae, row) for row in x])
    torch.testing.assert_close(f, naive)
    torch.testing.assert_close(torch.cat([sae.encode(row[None]) for row in x]), naive)  # without the Gram matrix
    ours = torch.autograd.grad((f * weight).sum(), [sae.W_dec, sae.b_dec])
    theirs = torch.autograd.grad((naive * weight).sum(), [sae.W_dec, sae.b_dec])
    torch.testing.assert_close(ours, theirs)
    if not signed:
        assert (f >= 0).all()


def test_repeats_add_up_stop_or_are_excluded() -> None:
    x = 2 * torch.randn(200, 6, generator=torch.Generator().manual_seed(1)).double()
    l0 = {r: (small(MatchingPursuit, repeats=r, k=6).encode(x) != 0).sum(1).double().mean() for r in REPEATS}
    assert l0["stop"] < l0["add"] < l0["exclude"] <= 6


def test_residual_threshold_is_the_length_that_is_left() -> None:
    x = 2 * torch.randn(200, 6, generator=torch.Generator().manual_seed(1)).double()
    for kind in (MatchingPursuit, OMP):
        sae = small(kind, residual_threshold=1.0, k=20, signed=True)
        f = sae.encode(x)
        left = (x - sae.decode(f)).norm(dim=1)
        assert (left <= 1.0).double().mean() > 0.9
        unlimited = small(kind, k=20, signed=True).encode(x)
        assert (f != 0).sum(1).double().mean() < 0.7 * (unlimited != 0).sum(1).double().mean()


@pytest.mark.parametrize(("d", "s", "k"), [(16, 40, 6), (16, 40, 14), (32, 256, 20)])
def test_signed_omp_is_scikit_learns_row_by_row(d: int, s: int, k: int) -> None:
    torch.manual_seed(0)
    sae = OMP(d_in=d, d_sae=s, k=k, signed=True, normalize="none").double()
    x = torch.randn(60, d).double()
    theirs = orthogonal_mp(sae.W_dec.detach().numpy().T, x.numpy().T, n_nonzero_coefs=k).T
    np.testing.assert_allclose(sae.encode(x).detach().numpy(), theirs, atol=1e-9)
    alone = torch.cat([sae.encode(row[None]) for row in x[:5]])  # without the Gram matrix
    np.testing.assert_allclose(alone.detach().numpy(), theirs[:5], atol=1e-9)


@pytest.mark.parametrize(("d", "s", "k"), [(16, 40, 6), (16, 40, 16), (6, 20, 20)])
def test_omp_is_non_negative_least_squares_after_every_pick(d: int, s: int, k: int) -> None:
    sae = small(OMP, d_in=d, d_sae=s, k=k) if d == 6 else OMP(d_in=d, d_sae=s, k=k, normalize="none").double()
    x = 2 * torch.randn(60, d).double()
    f = sae.encode(x).detach().numpy()
    centred = (x - sae.b_dec).detach().numpy()
    theirs = np.stack([naive_orthogonal(row, sae.W_dec.detach().numpy(), k) for row in centred])
    np.testing.assert_allclose(f, theirs, atol=1e-7)
    assert (f >= 0).all()


@pytest.mark.parametrize("signed", [False, True])
def test_omp_leaves_nothing_along_the_atoms_it_uses(signed: bool) -> None:
    sae = small(OMP, k=5, signed=signed)
    x = 2 * torch.randn(100, 6).double()
    f = sae.encode(x)
    left = (x - sae.decode(f)) @ sae.W_dec.T
    assert left[f != 0].abs().max() < 1e-9


@pytest.mark.parametrize("kind", [MatchingPursuit, OMP])
@pytest.mark.parametrize("signed", [False, True])
def test_gradients_are_those_of_finite_differences(kind: type[Pursuit], signed: bool) -> None:
    sae = small(kind, k=4, signed=signed)
    x = 2 * torch.randn(5, 6).double()

    def codes(x: Tensor, W_dec: Tensor, b_dec: Tensor) -> Tensor:
        return torch.func.functional_call(Codes(sae), {"sae.W_dec": W_dec, "sae.b_dec": b_dec}, (x,))

    inputs = (x, sae.W_dec.detach().clone(), sae.b_dec.detach().clone())
    assert torch.autograd.gradcheck(codes, [t.requires_grad_() for t in inputs], atol=1e-6)


class Codes(torch.nn.Module):
    """A module whose forward is `encode`."""

    def __init__(self, sae: Pursuit) -> None:
        super().__init__()
        self.sae = sae

    def forward(self, x: Tensor) -> Tensor:
        return self.sae.encode(x)


def test_omps_reconstruction_teaches_the_dictionary_as_if_codes_were_constant() -> None:
    sae = small(OMP, k=4)
    step = sae.step(2 * torch.randn(50, 6).double())
    through = torch.autograd.grad(sae.losses(step)["recon"], sae.W_dec, retain_graph=True)
    constant = (step.y - sae.reconstruct(step.f.detach())).square().sum(-1).mean()
    torch.testing.assert_close(through, torch.autograd.grad(constant, sae.W_dec))


@pytest.mark.parametrize("kind", [MatchingPursuit, OMP])
@pytest.mark.parametrize("signed", [False, True])
def test_identical_atoms_and_rows_without_anything_to_explain(kind: type[Pursuit], signed: bool) -> None:
    sae = kind(d_in=4, d_sae=8, k=8, signed=signed, normalize="none")
    with torch.no_grad():
        sae.W_dec[4:] = sae.W_dec[:4]
    x = torch.cat([torch.zeros(1, 4), 3 * sae.W_dec[:1].detach(), torch.randn(20, 4)])
    step = sae.step(x)
    sae.losses(step)["recon"].backward()
    assert step.f.isfinite().all() and sae.W_dec.grad is not None and sae.W_dec.grad.isfinite().all()
    assert not step.f[0].any()
    assert (step.f[1] != 0).sum() == 1 and step.f[1].sum().item() == pytest.approx(3)
    if kind is OMP and signed:
        torch.testing.assert_close(step.y_hat, x, atol=1e-3, rtol=0)  # four directions span the space


def test_omp_survives_atoms_that_nearly_coincide() -> None:
    """In float32, more picks than there are directions, and atoms within a few degrees of each other."""
    torch.manual_seed(0)
    sae = OMP(d_in=6, d_sae=40, k=20, normalize="none")
    with torch.no_grad():
        sae.W_dec.copy_(1 + 0.1 * torch.randn(40, 6))
    sae.project_()
    x = 3 * torch.randn(500, 6) + 2
    step = sae.step(x)
    sae.losses(step)["recon"].backward()
    assert sae.W_dec.grad is not None and sae.W_dec.grad.isfinite().all()
    exact = sae.double().encode(x.double())
    assert (step.f >= 0).all() and step.f.isfinite().all()
    error, least = (x - step.y_hat).square().sum(1), (x - sae.decode(exact)).square().sum(1)
    assert (error <= 1.01 * least + 0.01).double().mean() > 0.98


def test_correlations_of_the_first_step_feed_auxk() -> None:
    torch.manual_seed(0)
    sae = MatchingPursuit(d_in=4, d_sae=8, k=2, aux_k=3, reanimate=0.1, dead_after=1)
    sae.idle[:5] = 1
    terms = sae.losses(sae.step(torch.randn(64, 4)))
    assert {"recon", "aux", "reanimate"} == terms.keys()
    (grad,) = torch.autograd.grad(terms["aux"], sae.W_dec)
    assert (grad[:5] != 0).any(1).all() and not grad[5:].any()


def test_state_holds_no_encoder() -> None:
    sae = OMP(d_in=4, d_sae=8, k=2)
    assert {name for name, _ in sae.named_parameters()} == {"W_dec", "b_dec"}


@pytest.mark.parametrize("kind", [MatchingPursuit, OMP])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"k": 0}, "k=0"),
        ({"k": 9}, "d_sae=8"),
        ({"d_out": 3}, "cannot be a transcoder"),
        ({"decoder": "free"}, "decoder=unit"),
        ({"start_l0": 2.0}, "no biases"),
        ({"residual_threshold": -1.0}, "residual_threshold=-1.0"),
    ],
)
def test_rules(kind: type[Pursuit], wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**({"d_in": 4, "d_sae": 8, "k": 2} | wrong))
