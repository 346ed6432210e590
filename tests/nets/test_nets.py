"""Base networks: the parameter counts of the reference, and the sites their docstrings promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saelab.nets import MLP, ConvNet, ViT
from saelab.store import list_sites


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_parameter_counts() -> None:
    assert count(MLP(n_out=10)) == 269_322
    assert count(MLP(n_out=10, hidden_sizes=(512, 512, 256), dropout=0.0)) == 798_474
    assert count(ConvNet(n_out=10)) == 28_522
    assert count(ConvNet(n_out=10, kernel_size=5)) == 61_802
    assert count(ConvNet(n_out=10, batchnorm=False, dropout=0.0, pool="none")) == 421_642
    assert count(ViT(n_out=10)) == 803_338


@pytest.mark.parametrize("net", [MLP, ConvNet, ViT])
def test_logits_have_the_width_asked_for(net: type[nn.Module]) -> None:
    assert net(n_out=7).eval()(torch.randn(3, 1, 28, 28)).shape == (3, 7)


def test_vit_blocks_start_differently() -> None:
    vit = ViT(n_out=10)
    first, second = vit.blocks[0], vit.blocks[1]
    assert not torch.equal(first.linear1.weight, second.linear1.weight)  # type: ignore[union-attr, arg-type]


def test_sites() -> None:
    x = torch.randn(2, 1, 28, 28)
    mlp = list_sites(MLP(n_out=10, hidden_sizes=(512, 512, 256), dropout=0.0).eval(), x)
    assert mlp["net.3"] == (2, 512)
    assert mlp["net.6"] == (2, 10)
    assert list_sites(ConvNet(n_out=10).eval(), x)["features"] == (2, 64, 7, 7)
    assert list_sites(ConvNet(n_out=10, pool="none").eval(), x)["head.3:in"] == (2, 128)
    wide = ConvNet(n_out=10, input_shape=(3, 20, 36), pool="none").eval()
    assert wide(torch.randn(2, 3, 20, 36)).shape == (2, 10)
    vit = list_sites(ViT(n_out=10).eval(), x)
    assert vit["blocks.3"] == vit["norm"] == (2, 50, 128)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="patch_size 5 does not divide"):
        ViT(n_out=10, patch_size=5)
