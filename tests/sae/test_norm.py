"""Normalisation by hand: there, back, and what each refuses."""

from __future__ import annotations

import pytest
import torch
from variants import rows

from saelab.sae import TopK
from saelab.sae.norm import Normalizer


def fitted(kind: str, x: torch.Tensor) -> Normalizer:
    norm = Normalizer(kind, x.shape[1])
    norm.fit_(x)
    return norm


def test_scale_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 5.0]])  # E‖x‖² = 25, d = 2
    norm = fitted("scale", x)
    assert norm.scale.item() == pytest.approx((2 / 25) ** 0.5)
    torch.testing.assert_close(norm.inverse(norm(x)), x)


def test_layer_norm_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0], [10.0, 10.0 + 4]])
    norm = fitted("layer_norm", x)
    torch.testing.assert_close(norm(x), torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]))
    torch.testing.assert_close(norm.inverse(norm(x), x), x)
    with pytest.raises(ValueError, match=r"decode\(f, x\)"):
        norm.inverse(norm(x))


def test_whitened_rows_have_the_identity_as_covariance() -> None:
    torch.manual_seed(0)
    x = torch.randn(20_000, 5) @ torch.randn(5, 5) + torch.arange(5)
    white = fitted("whiten", x)(x)
    torch.testing.assert_close(white.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(white.T @ white / len(x), torch.eye(5), atol=0.01, rtol=0)
    torch.testing.assert_close(fitted("whiten", x).inverse(white), x, atol=1e-3, rtol=0)


def test_whitening_does_not_blow_up_a_direction_without_variance() -> None:
    x = torch.randn(500, 4)
    x[:, 3] = 1.0
    norm = fitted("whiten", x)
    assert norm(x).abs().max() < 10
    torch.testing.assert_close(norm.inverse(norm(x)), x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["scale", "whiten"])
def test_rows_of_the_fit_have_a_mean_square_of_d(kind: str) -> None:
    x = rows(4000)
    assert fitted(kind, x)(x).square().sum(1).mean().item() == pytest.approx(6, rel=2e-3)


def test_whitening_needs_rows_that_differ() -> None:
    with pytest.raises(ValueError, match="covariance"):
        fitted("whiten", torch.ones(10, 3))


def test_a_transcoder_has_a_scale_for_each_side() -> None:
    sae = TopK(d_in=2, d_out=3, d_sae=4, k=1)
    x, y = torch.randn(100, 2) * 5, torch.randn(100, 3) * 100
    sae.init_from_(x, y)
    assert (sae.norm(x).square().sum(1).mean().item()) == pytest.approx(2, rel=1e-4)
    assert (sae.norm_out(y).square().sum(1).mean().item()) == pytest.approx(3, rel=1e-4)
    assert sae(x).shape == (100, 3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"skip": True}, "skip=True"),
        ({"d_out": 3, "normalize": "layer_norm"}, "layer_norm"),
        ({"start_l0": -1}, "start_l0=-1"),
        ({"ghost": -1}, "ghost=-1"),
    ],
)
def test_rules_of_every_variant(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TopK(**({"d_in": 4, "d_sae": 8, "k": 2} | wrong))


def test_a_skip_needs_the_rows() -> None:
    sae = TopK(d_in=4, d_out=4, skip=True, d_sae=8, k=2)
    with pytest.raises(ValueError, match=r"decode\(f, x\)"):
        sae.decode(sae.encode(torch.randn(3, 4)))
