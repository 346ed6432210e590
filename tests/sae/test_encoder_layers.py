"""Layers before the encoder: of any variant that encodes by a matrix."""

from __future__ import annotations

import pytest
import torch
from variants import make, rows

from saelab.sae import TopK
from saelab.sae.networks import trunk

TAKES = ["relu", "topk", "abs_topk", "batchtopk", "jumprelu", "gated", "matryoshka", "lagrangian", "dense_vae_sparse"]


def test_by_hand() -> None:
    sae = TopK(d_in=2, d_sae=2, k=2, normalize="none", encoder_hidden=[2])
    assert sae.trunk is not None
    with torch.no_grad():
        sae.trunk[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        sae.trunk[0].bias.copy_(torch.tensor([0.0, 1.0]))
        sae.W_enc.copy_(torch.tensor([[1.0, 2.0], [1.0, 0.0]]))
        sae.b_enc.copy_(torch.tensor([0.0, -1.0]))
        sae.b_dec.copy_(torch.tensor([1.0, 0.0]))
    # x - b_dec = (2, 3); the layer gives ReLU(2, 1 - 3) = (2, 0); pre = (2, 4 - 1)
    assert sae.step(torch.tensor([[3.0, 3.0]])).pre.tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize("name", TAKES)
def test_it_is_an_mlp_and_then_what_it_was(name: str) -> None:
    sae, x = make(name, encoder_hidden=[5, 7]).eval(), rows(32)
    assert sae.W_enc.shape == (7, 16) and not sae.sparse
    h = sae.norm(x) - sae.b_dec
    for layer in (sae.trunk[0], sae.trunk[2]):  # type: ignore[index]
        h = (h @ layer.weight.T + layer.bias).relu()
    pre = h @ sae.W_enc + sae.b_enc
    step = sae.step(x)
    torch.testing.assert_close(step.pre, pre)
    torch.testing.assert_close(step.f, sae.activate(pre))


def test_without_layers_nothing_is_different() -> None:
    plain = make("topk")
    assert plain.trunk is None and plain.sparse
    assert not any("trunk" in key for key in plain.state_dict())


def test_start_l0_holds_behind_layers_too() -> None:
    sae = make("mlp_topk", start_l0=4.0)
    fired = (sae.preactivate(sae.norm(rows(512))) > 1e-6).float().mean()
    assert fired.item() == pytest.approx(4 / 16, abs=0.01)


def test_layers_keep_the_mean_square() -> None:
    torch.manual_seed(0)
    x = torch.randn(500, 64)
    deep = trunk(64, [512] * 6)(x)
    assert 0.5 < deep.square().mean().item() / x.square().mean().item() < 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("matching_pursuit", "atoms are its encoder"),
        ("omp", "atoms are its encoder"),
        ("densae", "atoms are its encoder"),
        ("lista", "depth is its iterations"),
        ("random", "nothing trains a control"),
        ("pca", "nothing trains a control"),
    ],
)
def test_what_has_an_inference_of_its_own_says_so(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"encoder_hidden=\[8\].*{reason}"):
        make(name, encoder_hidden=[8])


def test_widths_are_positive() -> None:
    with pytest.raises(ValueError, match=r"encoder_hidden=\[8, 0\]"):
        make("topk", encoder_hidden=[8, 0])
