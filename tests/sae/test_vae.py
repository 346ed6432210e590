"""A dense code alone: its costs, its samples, its networks, on rows and on images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from variants import loss_of, make, rows, spec, train

from saelab.run import build, load_sae, save_module
from saelab.sae import VAE, DenseVAESparse, variational
from saelab.sae.networks import decoder, encoder

SMALL: dict[str, Any] = {"d_in": 6, "d_sae": 99, "z_dim": 3, "hidden": 8, "normalize": "none"}
IMAGE: dict[str, Any] = {"d_in": 784, "z_dim": 3, "hidden": 8, "normalize": "none"}


def images(n: int, seed: int = 0) -> Tensor:
    """A bright square on a dark ground, in one of four places."""
    place = torch.randint(4, (n,), generator=torch.Generator().manual_seed(seed))
    picture = torch.full((n, 28, 28), 0.1)
    for row, corner in zip(picture, place.tolist(), strict=True):
        top, left = 14 * (corner // 2), 14 * (corner % 2)
        row[top : top + 14, left : left + 14] = 0.9
    return picture.flatten(1)


def test_divergence_by_hand_and_by_torch() -> None:
    mean, log_var = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    # rows 1/2 (1 + 1 - 1 - 0) + 1/2 (e^2 + 0 - 1 - 2), and 1/2 (4)
    assert variational.divergence(mean, log_var).item() == pytest.approx((0.5 + (7.389056 - 3) / 2 + 2) / 2)
    torch.manual_seed(0)
    mean, log_var = torch.randn(7, 4), torch.randn(7, 4)
    q = torch.distributions.Normal(mean, (log_var / 2).exp())
    standard = torch.distributions.Normal(torch.zeros(4), torch.ones(4))
    naive = torch.distributions.kl_divergence(q, standard).sum(1).mean()
    torch.testing.assert_close(variational.divergence(mean, log_var), naive)


def test_the_divergence_has_the_gradient_of_finite_differences() -> None:
    torch.manual_seed(0)
    codes = [torch.randn(3, 2).double().requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(variational.divergence, codes)


def test_vae_by_hand() -> None:
    sae = VAE(d_in=2, d_sae=1, z_dim=1, hidden=1, layers=1, normalize="none", beta=0.5).eval()
    with torch.no_grad():
        for net, weights in (
            (sae.dense_encoder, [[1.0, 1.0], [[2.0], [0.0]]]),
            (sae.dense_decoder, [[3.0], [[1.0], [4.0]]]),
        ):
            net[0].weight.copy_(torch.tensor(weights[0]).reshape(1, -1))
            net[0].bias.zero_()
            net[2].weight.copy_(torch.tensor(weights[1]))
        sae.dense_encoder[2].bias.copy_(torch.tensor([0.0, 4.0]))  # v = 4 - 4
        sae.b_dec.copy_(torch.tensor([1.0, 0.0]))
    # x' = (1, 1), hidden 2, mean 4 and v = 0; D(4) = (12, 48), so y_hat = (13, 48)
    step = sae.step(torch.tensor([[2.0, 1.0]]))
    assert step.f.tolist() == [[4.0]]
    assert step.y_hat.tolist() == [[13.0, 48.0]]
    terms = sae.losses(step)
    assert terms["recon"].item() == 11**2 + 47**2
    assert terms["kl"].item() == 0.5 * 0.5 * 16  # beta times half of mean squared
    assert sae.W_dec.tolist() == [[3.0, 12.0]]  # D(1) - D(0)


def test_its_width_is_that_of_the_code_whatever_a_dictionary_would_have() -> None:
    sae = VAE(**SMALL)
    assert sae.d_sae == 3 and sae.dense_codes
    assert sae.encode(rows(4)).shape == (4, 3)
    assert sae.W_dec.shape == (3, 6)
    assert sae.W_enc is None and not hasattr(sae, "archetypes")
    assert not any("W_" in key for key in sae.state_dict())


def test_codes_are_sampled_in_training_alone_and_never_die() -> None:
    sae, x = make("mlp_vae", dead_after=1), rows(2000)
    a, b = sae.step(x), sae.step(x)
    assert not torch.equal(a.y_hat, b.y_hat) and torch.equal(a.f, b.f)
    assert a.dense is not None and a.dense.mean is not None and a.dense.log_var is not None
    spread = ((a.dense.z - a.dense.mean) / (a.dense.log_var / 2).exp()).std(0)
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=0.08, rtol=0)
    sae.idle.fill_(10**6)
    assert sae.losses(a).keys() == {"recon", "kl"}
    sae.track_(a)
    assert not sae.dead.any()
    sae.eval()
    assert torch.equal(sae.step(x).y_hat, sae.step(x).y_hat)


def test_the_warm_up_completes_whatever_the_length() -> None:
    for steps in (4, 10, 1000):
        sae, seen = VAE(**SMALL, beta=0.2, kl_warmup=0.5), []
        for i in range(steps):
            sae.anneal_(i / steps)
            seen.append(sae.facts()["beta"].item())
        assert seen[0] == 0 and seen[-1] == pytest.approx(0.2) and sorted(seen) == seen


@pytest.mark.parametrize("model", ["mlp_vae", "dense_vae_sparse"])
def test_prior_samples_are_decoded_codes_of_the_prior(model: str) -> None:
    sae = make(model)
    assert isinstance(sae, VAE | DenseVAESparse)
    drawn = sae.prior(5, torch.Generator().manual_seed(3))
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(drawn, sae.to_user(sae.dense_decoder(z) + sae.b_dec).detach())
    assert drawn.shape == (5, 6) and not drawn.requires_grad


def test_prior_samples_of_logits_are_probabilities() -> None:
    sae = VAE(**SMALL, likelihood="bernoulli")
    assert ((sae.prior(50) > 0) & (sae.prior(50) < 1)).all()


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_of_images(likelihood: str, tmp_path: Path) -> None:
    """What the contract asks of every variant, of the one that takes images alone."""
    torch.manual_seed(0)
    asked = spec("conv_vae", likelihood=likelihood, beta=0.001, **IMAGE)
    sae, x = build(asked), images(64)
    sae.init_from_(x)
    step = sae.step(x)
    assert step.f.shape == (64, 3) and step.y_hat.shape == (64, 784)
    loss_of(sae, step).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in sae.parameters())
    losses = train(sae, [images(16, seed=i) for i in range(60)], lr=3e-3)
    sae.eval()
    error, spread = (x - sae(x)).square().sum(), (x - x.mean(0)).square().sum()
    assert error < 0.5 * spread and losses[-1] < losses[0]
    torch.testing.assert_close(sae(x), sae.decode(sae.encode(x)))
    torch.testing.assert_close(sae.encode(x), torch.cat([sae.encode(row[None]) for row in x]), rtol=1e-4, atol=1e-5)
    save_module(tmp_path, "sae", asked, sae)
    assert torch.equal(load_sae(tmp_path)(x), sae(x))
    sae.to(torch.bfloat16)
    loss = loss_of(sae, sae.train().step(x.bfloat16()))
    loss.backward()
    assert loss.isfinite() and sae.kl_scale.dtype == torch.float32


def test_convolutions_see_pictures_and_mirror_each_other() -> None:
    there, back = encoder("conv", 784, 8, 6, layers=1), decoder("conv", 3, 8, 784, layers=1)
    shapes = [tuple(p.shape) for p in there.parameters()]
    assert shapes[::2] == [(32, 1, 4, 4), (64, 32, 4, 4), (8, 3136), (6, 8)]
    assert [tuple(p.shape) for p in back.parameters() if p.ndim > 1] == [
        (8, 3),
        (3136, 8),
        (64, 32, 4, 4),
        (32, 1, 4, 4),
    ]
    x = images(2)
    first = torch.nn.functional.conv2d(x.reshape(2, 1, 28, 28), there[1].weight, there[1].bias, stride=2, padding=1)
    torch.testing.assert_close(there[:2](x), first)
    assert back(torch.randn(2, 3)).shape == (2, 784)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"z_dim": 0}, "z_dim=0"),
        ({"hidden": 0}, "hidden=0"),
        ({"layers": 0}, "layers=0"),
        ({"net": "conv"}, r"1 x 28 x 28 = 784 pixels, and rows are 6 wide; net=mlp"),
        ({"beta": -1.0}, "beta=-1.0"),
        ({"kl_warmup": 2.0}, "kl_warmup=2.0"),
        ({"decoder": "unit"}, "decoder=free"),
        ({"start_l0": 2.0}, "start_l0=2.0"),
        ({"encoder_hidden": [8]}, "layers of its own"),
        ({"d_out": 4, "skip": True}, "skip=false"),
    ],
)
def test_rules(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        VAE(**(SMALL | wrong))
