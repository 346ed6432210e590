"""Controls: what they are without training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.linear_model import Ridge
from variants import rows

from saelab.sae import PCA, SAE, Identity, Random
from saelab.sae.random import ridge

SMALL: dict[str, Any] = {"d_in": 6, "d_sae": 16}


def ready(sae: SAE, n: int = 2000) -> SAE:
    sae.init_from_(rows(n, sae.d_in), rows(n, sae.d_out, seed=2) if sae.transcoder else None)
    return sae


@pytest.mark.parametrize("sae", [Random(target_l0=4, **SMALL), PCA(d_in=6, d_sae=6), Identity(d_in=6, d_sae=6)])
def test_nothing_is_trained(sae: SAE) -> None:
    assert not ready(sae).trained
    assert not any(p.requires_grad for p in sae.parameters())
    assert not sae(rows(8)).requires_grad


def test_identity_by_hand() -> None:
    x = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    sae = Identity(d_in=2, d_sae=2, normalize="none")
    sae.init_from_(x)
    assert torch.equal(sae.encode(x), x)
    assert torch.equal(sae(x), x)
    split = Identity(d_in=2, d_sae=4, signed=False, normalize="none")
    split.init_from_(x)
    assert split.encode(x).tolist() == [[1.0, 0.0, 0.0, 2.0], [0.0, 3.0, 0.0, 0.0]]
    assert torch.equal(split(x), x)


@pytest.mark.parametrize("normalize", ["scale", "layer_norm", "whiten"])
@pytest.mark.parametrize("signed", [True, False])
def test_identity_gives_back_what_it_got(normalize: Any, signed: bool) -> None:
    sae = ready(Identity(d_in=6, d_sae=6 if signed else 12, signed=signed, normalize=normalize))
    x = rows(32, seed=5)
    torch.testing.assert_close(sae(x), x, rtol=1e-4, atol=1e-4)


def test_pca_by_hand() -> None:
    # variance 4 along (0.6, 0.8), 1 along (0.8, -0.6), about (5, 0)
    along, across = torch.tensor([0.6, 0.8]), torch.tensor([0.8, -0.6])
    x = torch.stack([2 * along, -2 * along, across, -across]) * 2**0.5 + torch.tensor([5.0, 0.0])
    sae = PCA(d_in=2, d_sae=1, normalize="none")
    sae.init_from_(x)
    torch.testing.assert_close(sae.W_dec, along[None])
    torch.testing.assert_close(sae.encode(x), torch.tensor([[2.0], [-2.0], [0.0], [0.0]]) * 2**0.5)
    split = PCA(d_in=2, d_sae=2, signed=False, normalize="none")
    split.init_from_(x)
    torch.testing.assert_close(split.encode(x), torch.tensor([[2.0, 0], [0, 2], [0, 0], [0, 0]]) * 2**0.5)
    torch.testing.assert_close(split(x), sae(x))


@pytest.mark.parametrize("n", [1, 3, 6])
def test_pca_is_scikit_learns(n: int) -> None:
    x = rows(500) @ torch.randn(6, 6, generator=torch.Generator().manual_seed(3))
    sae = PCA(d_in=6, d_sae=n)
    sae.init_from_(x)
    theirs = SklearnPCA(n).fit(x.numpy())
    np.testing.assert_allclose(sae(x).numpy(), theirs.inverse_transform(theirs.transform(x.numpy())), atol=1e-3)
    ev = 1 - (x - sae(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert ev.item() == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-4)


def test_spare_latents_stay_dead_and_a_warning_says_so() -> None:
    for sae in (PCA(**SMALL), Identity(**SMALL)):
        with pytest.warns(UserWarning, match="10 of 16 latents are spare"):
            ready(sae)
        assert not sae.encode(rows(50))[:, 6:].any()
    flat = torch.cat([rows(100, 3), torch.zeros(100, 3)], 1)
    sae = PCA(d_in=6, d_sae=6)
    with pytest.warns(UserWarning, match="3 of 6"):
        sae.init_from_(flat)
    torch.testing.assert_close(sae(flat), flat, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("select", ["latent", "shared", "topk"])
@pytest.mark.parametrize("init", ["xavier", "kaiming", "orthogonal"])
@pytest.mark.parametrize("target", [1, 8, 40])
def test_random_codes_have_the_density_asked_for(select: Any, init: Any, target: int) -> None:
    torch.manual_seed(0)
    sae = ready(Random(d_in=6, d_sae=120, target_l0=target, select=select, init=init, b_dec_init="mean"), 4000)
    x = rows(4000, seed=7)
    l0 = (sae.encode(x) != 0).sum(1).float()
    assert l0.mean().item() == pytest.approx(target, rel=0.06)
    density = (sae.encode(x) != 0).float().mean(0)
    if select == "latent":
        assert density.std() < 0.3 * density.mean()
    elif select == "topk":
        assert l0.max() <= target


def test_random_thresholds_serve_more_than_half_of_the_latents_too() -> None:
    sae = ready(Random(d_in=6, d_sae=40, target_l0=36), 4000)
    assert (sae.encode(rows(4000, seed=7)) != 0).sum(1).float().mean().item() == pytest.approx(36, rel=0.02)


def test_random_encoders_differ_by_name_and_seed_alone() -> None:
    def encoder(init: Any, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return Random(d_in=6, d_sae=16, target_l0=4, init=init).W_enc

    assert torch.equal(encoder("xavier", 0), encoder("xavier", 0))
    assert not torch.equal(encoder("xavier", 0), encoder("xavier", 1))
    assert encoder("xavier", 0).abs().max() <= (6 / 22) ** 0.5
    assert encoder("kaiming", 0).abs().max() <= 1.0
    torch.testing.assert_close(encoder("orthogonal", 0) @ encoder("orthogonal", 0).T, torch.eye(6))


@pytest.mark.parametrize("n", [10, 200])
def test_ridge_is_scikit_learns(n: int) -> None:
    torch.manual_seed(0)
    f, y = torch.randn(n, 30).relu(), torch.randn(n, 4)
    strength = 1e-3 * f.square().sum().item() / 30
    theirs = Ridge(strength, fit_intercept=False).fit(f.double().numpy(), y.double().numpy()).coef_.T
    np.testing.assert_allclose(ridge(f, y).numpy(), theirs, atol=1e-5)


def test_a_fitted_decoder_reads_random_codes_better() -> None:
    x, test = rows(2000), rows(2000, seed=9)
    errors = {}
    for fit in (False, True):
        torch.manual_seed(0)
        sae = Random(d_in=6, d_sae=64, target_l0=8, fit_decoder=fit, decoder="free" if fit else "unit")
        sae.init_from_(x)
        errors[fit] = (test - sae(test)).square().sum().item()
    assert errors[True] < 0.3 * errors[False]
    assert errors[True] < 0.3 * (test - test.mean(0)).square().sum().item()


def test_random_reads_another_site() -> None:
    mix = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    sae = Random(d_in=6, d_out=4, d_sae=64, target_l0=8, fit_decoder=True, decoder="free")
    sae.init_from_(rows(2000), rows(2000) @ mix)
    x = rows(500, seed=9)
    y = x @ mix
    assert (y - sae(x)).square().sum() < 0.3 * (y - y.mean(0)).square().sum()


@pytest.mark.parametrize(
    ("kind", "wrong", "says"),
    [
        (Random, {"target_l0": 0}, "target_l0=0"),
        (Random, {"target_l0": 17}, "d_sae=16"),
        (Random, {"target_l0": 0.4, "select": "topk"}, "whole number"),
        (Random, {"target_l0": 4, "fit_decoder": True}, "decoder=free"),
        (Random, {"target_l0": 4, "start_l0": 4.0}, "start_l0=4.0"),
        (Random, {"target_l0": 4, "d_out": 3, "skip": True}, "skip=True"),
        (Random, {"target_l0": 4, "decoder": "archetypal"}, "nothing trains Random"),
        (PCA, {"decoder": "archetypal"}, "decoder=unit"),
        (PCA, {"b_dec_init": "median"}, "b_dec_init=mean"),
        (PCA, {"d_out": 3}, "cannot be a transcoder"),
        (PCA, {"d_sae": 1, "signed": False}, "at least 2"),
        (Identity, {"b_dec_init": "mean"}, "b_dec_init=zeros"),
        (Identity, {"d_sae": 5}, "set d_sae=6"),
        (Identity, {"d_sae": 11, "signed": False}, "d_sae=12"),
        (Identity, {"d_out": 3}, "cannot be a transcoder"),
    ],
)
def test_rules(kind: type[SAE], wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(**(SMALL | wrong))
