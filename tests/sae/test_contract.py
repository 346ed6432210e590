"""What every SAE variant must do."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from variants import make, rows, specs

from saelab.run import load_sae, save_module

VARIANTS = sorted(specs())
SHAPES = [(6, 16), (16, 6)]


@pytest.mark.parametrize(("d_in", "d_sae"), SHAPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_forward_is_decode_of_encode(name: str, d_in: int, d_sae: int) -> None:
    sae, x = make(name, d_in=d_in, d_sae=d_sae).eval(), rows(32, d_in)
    torch.testing.assert_close(sae(x), sae.decode(sae.encode(x)))
    step = sae.step(x)
    torch.testing.assert_close(step.y_hat / sae.scale, sae(x))
    torch.testing.assert_close(step.f, sae.encode(x))


@pytest.mark.parametrize("name", VARIANTS)
def test_eval_is_pure_and_rows_do_not_meet(name: str) -> None:
    sae, x = make(name).eval(), rows(32)
    before = copy.deepcopy(sae.state_dict())
    together = sae.encode(x)
    alone = torch.cat([sae.encode(row[None]) for row in x])
    torch.testing.assert_close(together, alone)
    for key, value in sae.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_gets_gradient(name: str) -> None:
    sae = make(name, dead_after=10**9)
    torch.stack(list(sae.losses(sae.step(rows(256))).values())).sum().backward()
    for key, parameter in sae.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", VARIANTS)
def test_losses_are_finite_with_no_latent_dead_and_with_all_dead(name: str) -> None:
    for idle in (0, 10**12):
        sae = make(name)
        sae.idle.fill_(idle)
        terms = sae.losses(sae.step(rows(64)))
        assert "recon" in terms
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in sae.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    sae, x = make(name).eval(), rows(32)
    spec = specs()[name] | {"d_in": 6, "d_sae": 16} | ({"k": 4} if "k" in specs()[name] else {})
    save_module(tmp_path, "sae", spec, sae)
    loaded = load_sae(tmp_path)
    assert type(loaded) is type(sae)
    assert torch.equal(loaded(x), sae(x))


@pytest.mark.parametrize("name", VARIANTS)
def test_bf16_trains(name: str) -> None:
    sae = make(name, d_in=16, d_sae=32)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-2)
    losses = []
    for i in range(60):
        with torch.autocast("cpu", torch.bfloat16):
            step = sae.step(rows(128, 16, seed=i))
            loss = torch.stack(list(sae.losses(step).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sae.project_()
        sae.track_(step)
        losses.append(loss.item())
    assert torch.tensor(losses[-10:]).mean() < 0.9 * torch.tensor(losses[:5]).mean()
    assert all(p.dtype == torch.float32 for p in sae.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_idle_counts_rows_since_a_latent_fired(name: str) -> None:
    sae = make(name)
    step = sae.step(rows(32))
    sae.track_(step)
    fired = (step.f != 0).any(0)
    assert torch.equal(sae.idle, torch.where(fired, 0, 32))
    silent = step._replace(f=torch.zeros_like(step.f))
    sae.track_(silent)
    assert torch.equal(sae.idle, torch.where(fired, 32, 64))


@pytest.mark.parametrize("name", VARIANTS)
def test_inputs_are_scaled_to_a_mean_square_of_d(name: str) -> None:
    sae, x = make(name), rows(512)
    assert (x * sae.scale).square().sum(1).mean().item() == pytest.approx(6, rel=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_losses_do_not_depend_on_the_units_of_the_activations(name: str) -> None:
    x = rows(256)
    small, large = make(name), make(name)
    small.init_from_(x)
    large.init_from_(1000 * x)
    a, b = small.losses(small.step(x)), large.losses(large.step(1000 * x))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-5)


def test_planted_dictionary_is_found() -> None:
    """Three of twelve orthogonal directions in each row: the decoder's rows become those directions."""
    torch.manual_seed(0)
    truth = torch.linalg.qr(torch.randn(16, 16)).Q[:12]
    codes = torch.zeros(4096, 12).scatter(1, torch.rand(4096, 12).topk(3).indices, 1.0)
    x = codes * (1 + torch.rand(4096, 12)) @ truth
    sae = make("topk", d_in=16, d_sae=24, k=3, b_dec_init="zeros", dead_after=1000)
    sae.init_from_(x)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-2)
    for i in range(600):
        step = sae.step(x[(256 * i) % 4096 :][:256])
        loss = torch.stack(list(sae.losses(step).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        sae.project_grad_()
        optimizer.step()
        sae.project_()
        sae.track_(step)
    best = (truth @ sae.W_dec.detach().T).max(1).values
    assert best.mean() > 0.95, best
