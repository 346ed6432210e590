"""The sparse path against the dense one: values, gradients, tracking, and a hundred steps."""

from __future__ import annotations

import copy

import pytest
import torch
from variants import loss_of, make, names, rows

from saelab.sae import SAE, Step

SPARSE = [n for n in names() if type(make(n)).support is not SAE.support and not make(n).encoder_hidden]
TREATMENTS = {"aux_k": 3, "aux_coef": 0.3, "ghost": 0.2, "reanimate": 0.1, "dead_after": 100}
OF_THE_PATH = ("density", "dense_steps")


def pair(name: str, **changes: object) -> tuple[SAE, SAE]:
    """The same SAE twice, one for each path; in double precision, so that no place is on a threshold by rounding."""
    dense = make(name, d_in=8, d_sae=32, **(TREATMENTS | changes)).train().double()
    dense.idle[::3] = 10**6
    sparse = copy.deepcopy(dense)
    return dense, sparse


def steps(dense: SAE, sparse: SAE, x: torch.Tensor, y: torch.Tensor | None = None) -> tuple[Step, Step]:
    dense.density.fill_(1.0)
    sparse.density.fill_(0.0)
    x, y = x.double(), None if y is None else y.double()
    a, b = dense.step(x, y), sparse.step(x, y)
    assert a.where is None and b.where is not None
    return a, b


@pytest.mark.parametrize("transcoder", [False, True])
@pytest.mark.parametrize("name", SPARSE)
def test_values_and_gradients_are_equal(name: str, transcoder: bool) -> None:
    dense, sparse = pair(name, **({"d_out": 5, "skip": True} if transcoder else {}))
    x, y = rows(64, 8), rows(64, 5, seed=3) if transcoder else None
    a, b = steps(dense, sparse, x, y)
    torch.testing.assert_close(b.where.scatter(b.f), a.f)
    torch.testing.assert_close(b.y_hat, a.y_hat)
    torch.manual_seed(0)
    first = dense.losses(a)
    torch.manual_seed(0)
    second = sparse.losses(b)
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(second[key], first[key], rtol=1e-4, atol=1e-5)
    torch.stack(list(first.values())).sum().backward()
    torch.stack(list(second.values())).sum().backward()
    for (key, p), q in zip(dense.named_parameters(), sparse.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), key
        if p.grad is not None:
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-3, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}")
    dense.track_(a)
    sparse.track_(b)
    for (key, p), q in zip(dense.named_buffers(), sparse.buffers(), strict=True):
        if key in OF_THE_PATH:
            continue
        torch.testing.assert_close(q, p, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", SPARSE)
def test_a_hundred_steps_end_in_the_same_place(name: str) -> None:
    ends = []
    for density in (1.0, 0.0):
        sae = make(name, d_in=8, d_sae=32, **TREATMENTS).double()
        optimizer = torch.optim.Adam(sae.parameters(), lr=1e-3)
        for i in range(100):
            sae.anneal_(i / 100)
            sae.density.fill_(density)
            torch.manual_seed(i)
            s = sae.step(rows(64, 8, seed=i).double())
            assert (s.where is None) == (density == 1.0)
            loss = loss_of(sae, s)
            optimizer.zero_grad()
            loss.backward()
            sae.project_grad_()
            optimizer.step()
            sae.project_()
            sae.track_(s)
        ends.append(sae)
    for (key, p), q in zip(ends[0].state_dict().items(), ends[1].state_dict().values(), strict=True):
        if key in OF_THE_PATH:
            continue
        torch.testing.assert_close(q, p, rtol=1e-3, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", SPARSE)
def test_rows_without_a_code_and_all_of_them_without(name: str) -> None:
    dense, sparse = pair(name)
    for sae in (dense, sparse):
        sae.b_enc.data.fill_(-1e3)
    a, b = steps(dense, sparse, rows(16, 8))
    torch.testing.assert_close(b.where.scatter(b.f), a.f)
    torch.testing.assert_close(b.y_hat, a.y_hat)
    loss_of(sparse, b).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in sparse.parameters())


@pytest.mark.parametrize("name", [name for name in SPARSE if "k" in (make(name).__dict__)])
def test_one_code_and_ties(name: str) -> None:
    dense, sparse = pair(name, k=1)
    for sae in (dense, sparse):
        sae.W_enc.data[:, 16:] = sae.W_enc.data[:, :16]  # every pre-activation twice
    a, b = steps(dense, sparse, rows(64, 8))
    assert (b.f != 0).sum() == (a.f != 0).sum()
    torch.testing.assert_close(b.f[b.f != 0].sort().values, a.f[a.f != 0].sort().values)


@pytest.mark.parametrize("name", SPARSE)
def test_the_path_follows_the_measured_density(name: str) -> None:
    sae = make(name, d_in=8, d_sae=32).train()
    assert sae.step(rows(64, 8)).where is None
    for _ in range(2):
        sae.track_(sae.step(rows(64, 8)))
    assert 0 < sae.density < 1
    sae.density.fill_(0.0)
    assert sae.step(rows(64, 8)).where is not None
    with torch.autocast("cpu"):  # products of two precisions
        assert sae.step(rows(64, 8)).where is None


@pytest.mark.parametrize("name", SPARSE)
def test_evaluation_is_encode_and_decode(name: str) -> None:
    sae = make(name, d_in=8, d_sae=32).train()
    for _ in range(3):
        sae.track_(sae.step(rows(64, 8)))
    sae.eval().density.fill_(0.0)
    x = rows(64, 8)
    s = sae.step(x)
    assert s.where is not None
    torch.testing.assert_close(s.where.scatter(s.f), sae.encode(x))
    torch.testing.assert_close(sae.norm_out.inverse(s.y_hat, x), sae(x))


@pytest.mark.parametrize("name", SPARSE)
def test_a_saved_state_says_which_path_the_next_step_takes(name: str) -> None:
    sae = make(name, d_in=8, d_sae=32).train()
    sae.density.fill_(0.01)
    again = make(name, d_in=8, d_sae=32).train()
    again.load_state_dict(sae.state_dict())
    assert again.step(rows(64, 8)).where is not None


@pytest.mark.parametrize("name", SPARSE)
def test_a_rough_choice_has_exact_values(name: str) -> None:
    """bf16_encode: pre-activations are those of float32 wherever they are kept, and almost all are kept."""
    exact, rough = make(name, d_in=8, d_sae=32).train(), make(name, d_in=8, d_sae=32, bf16_encode=True).train()
    rough.load_state_dict(exact.state_dict())
    for sae in (exact, rough):
        sae.density.fill_(0.0)
    x = rows(256, 8)
    a, b = exact.step(x), rough.step(x)
    torch.testing.assert_close(b.pre, b.where.gather(exact.preactivate(exact.norm(x))))
    f, g = a.where.scatter(a.f), b.where.scatter(b.f)
    assert ((f != 0) != (g != 0)).sum() < 0.05 * (f != 0).sum()
    same = ((f != 0) == (g != 0)).all(1)
    torch.testing.assert_close(g[same], f[same])
    loss_of(rough, b).backward()
    assert rough.W_enc.grad is not None and rough.W_enc.grad.isfinite().all()
