"""What every SAE variant must do."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from variants import loss_of, make, names, rows, spec, train

from saelab.run import load_sae, save_module
from saelab.sae import SAE

VARIANTS = names()
TRAINED = [name for name in VARIANTS if make(name).trained]
SHAPES = [(6, 16), (16, 6)]
NORMALIZE = ["none", "scale", "layer_norm", "whiten"]
every_variant = pytest.mark.parametrize("name", VARIANTS)
trained = pytest.mark.parametrize("name", TRAINED)


def skip_unless_possible(name: str, **changes: object) -> SAE:
    """The variant under changes; a combination it refuses, with a reason, is skipped."""
    try:
        return make(name, **changes)
    except ValueError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize(("d_in", "d_sae"), SHAPES)
@every_variant
def test_forward_is_decode_of_encode(name: str, d_in: int, d_sae: int, normalize: str) -> None:
    sae = skip_unless_possible(name, d_in=d_in, d_sae=d_sae, normalize=normalize).eval()
    x = rows(32, d_in)
    torch.testing.assert_close(sae(x), sae.decode(sae.encode(x), x), rtol=1e-4, atol=1e-4)
    step = sae.step(x)
    torch.testing.assert_close(sae.to_user(step.y_hat, x), sae(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(step.f, sae.encode(x))
    assert step.f.shape == step.pre.shape == (32, sae.d_sae)


@every_variant
def test_eval_is_pure_and_rows_do_not_meet(name: str) -> None:
    sae, x = make(name).eval(), rows(32)
    before = copy.deepcopy(sae.state_dict())
    together = sae.encode(x)
    alone = torch.cat([sae.encode(row[None]) for row in x])
    torch.testing.assert_close(together, alone)
    for key, value in sae.state_dict().items():
        assert torch.equal(value, before[key]), key


@trained
def test_every_parameter_gets_gradient(name: str) -> None:
    sae = make(name, dead_after=10**9)
    loss_of(sae, sae.step(rows(256))).backward()
    for key, parameter in sae.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("d_in", "d_sae"), SHAPES)
@pytest.mark.parametrize("idle", [0, 10**12])
@trained
def test_losses_are_finite_with_no_latent_dead_and_with_all_dead(
    name: str, idle: int, d_in: int, d_sae: int, dtype: torch.dtype
) -> None:
    sae = make(name, d_in=d_in, d_sae=d_sae).to(dtype)
    sae.idle.fill_(idle)
    terms = sae.losses(sae.step(rows(64, d_in).to(dtype)))
    assert "recon" in terms
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in sae.parameters())


@pytest.mark.parametrize("k", [1, 16])
@trained
def test_one_code_a_row_and_all_of_them(name: str, k: int) -> None:
    keys = [key for key in ("k", "target_l0") if key in spec(name)]
    if not keys:
        pytest.skip("it has no target for L0")
    sae = skip_unless_possible(name, **{key: k for key in keys})
    losses = train(sae, [rows(128, seed=i) for i in range(20)])
    assert torch.tensor(losses).isfinite().all()
    f = sae.eval().encode(rows(256))
    assert f.isfinite().all()
    if k == 1:
        assert (f != 0).sum(1).float().mean() < 4


@every_variant
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    sae, x = make(name), rows(32)
    if sae.trained:
        train(sae, [rows(64, seed=i) for i in range(5)])
    save_module(tmp_path, "sae", spec(name), sae)
    loaded = load_sae(tmp_path)
    assert type(loaded) is type(sae)
    assert torch.equal(loaded(x), sae.eval()(x))


@pytest.mark.parametrize("kind", ["autocast", "pure"])
@trained
def test_bf16_trains(name: str, kind: str) -> None:
    sae = make(name, d_in=16, d_sae=32)
    if kind == "pure":
        sae.to(torch.bfloat16)
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-2)
    losses = []
    for i in range(60):
        x = rows(128, 16, seed=i)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            step = sae.step(x.to(torch.bfloat16) if kind == "pure" else x)
            loss = loss_of(sae, step)
        optimizer.zero_grad()
        loss.backward()
        sae.project_grad_()
        optimizer.step()
        sae.project_()
        sae.track_(step)
        losses.append(loss.item())
    assert torch.tensor(losses[-10:]).mean() < 0.9 * torch.tensor(losses[:5]).mean()
    for key, value in {**dict(sae.named_parameters()), **dict(sae.named_buffers())}.items():
        stays = kind == "autocast" or key in sae.controller
        if value.is_floating_point():
            assert value.dtype == (torch.float32 if stays else torch.bfloat16), key


@every_variant
def test_idle_counts_rows_since_a_latent_fired(name: str) -> None:
    sae = make(name)
    step = sae.step(rows(32))
    sae.track_(step)
    fired = (step.f != 0).any(0)
    assert torch.equal(sae.idle, torch.where(fired, 0, 32))
    silent = step._replace(f=torch.zeros_like(step.f))
    sae.track_(silent)
    assert torch.equal(sae.idle, torch.where(fired, 32, 64))


@every_variant
def test_losses_do_not_depend_on_the_units_of_the_activations(name: str) -> None:
    x = rows(256)
    small, large = make(name), make(name)
    small.init_from_(x)
    large.init_from_(1000 * x)
    torch.manual_seed(0)
    a = small.losses(small.step(x))
    torch.manual_seed(0)
    b = large.losses(large.step(1000 * x))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-3, atol=2e-3)  # rounding may move a code over a threshold


@pytest.mark.parametrize("skip", [False, True])
@trained
def test_as_a_transcoder_it_learns_another_site(name: str, skip: bool) -> None:
    sae = skip_unless_possible(name, d_in=6, d_out=4, skip=skip)
    assert sae.transcoder
    mix = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.Adam(sae.parameters(), lr=1e-2)
    errors = []
    for i in range(100):
        x = rows(128, seed=i)
        step = sae.step(x, x @ mix)
        assert step.y_hat.shape == (128, 4)
        loss = loss_of(sae, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sae.project_()
        sae.track_(step)
        errors.append((step.y - step.y_hat).square().sum(1).mean().item())
    assert sum(errors[-10:]) < 0.8 * sum(errors[:10])
    x = rows(8)
    assert sae(x).shape == (8, 4)


@trained
def test_training_is_better_than_the_mean(name: str) -> None:
    torch.manual_seed(0)
    sae = make(name, d_in=16, d_sae=32)
    basis = torch.linalg.qr(torch.randn(16, 16)).Q

    def batch(i: int, n: int = 256) -> torch.Tensor:
        g = torch.Generator().manual_seed(i)
        codes = torch.rand(n, 16, generator=g) * (torch.rand(n, 16, generator=g) < 0.2)
        return codes @ basis + 0.1

    sae.init_from_(batch(0, 2048))
    train(sae, [batch(i) for i in range(300)], lr=3e-3)
    x = batch(1000, 2048)
    y_hat = sae.eval()(x).detach()
    ev = 1 - (x - y_hat).square().sum() / (x - x.mean(0)).square().sum()
    assert ev > 0.5, ev


def test_planted_dictionary_is_found() -> None:
    """Three of twelve orthogonal directions in each row: the decoder's rows become those directions."""
    torch.manual_seed(0)
    truth = torch.linalg.qr(torch.randn(16, 16)).Q[:12]
    codes = torch.zeros(4096, 12).scatter(1, torch.rand(4096, 12).topk(3).indices, 1.0)
    x = codes * (1 + torch.rand(4096, 12)) @ truth
    sae = make("topk", d_in=16, d_sae=24, k=3, b_dec_init="zeros", dead_after=1000)
    sae.init_from_(x)
    train(sae, [x[(256 * i) % 4096 :][:256] for i in range(600)])
    best = (truth @ sae.W_dec.detach().T).max(1).values
    assert best.mean() > 0.95, best
