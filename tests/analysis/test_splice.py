"""Spliced reconstructions against the same thing done by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from saelab.analysis.splice import splice_scores
from saelab.store import splice


def test_three_ways_by_hand() -> None:
    """Logits are twice the activation; the reconstruction swaps its two units."""
    net = nn.Sequential(nn.Identity(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(2 * torch.eye(2))
    x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 1, 0])
    batches = [SimpleNamespace(x=x[:2], y=y[:2]), SimpleNamespace(x=x[2:], y=y[2:])]
    found = splice_scores(net, batches, lambda edit: splice(net, "0", lambda a: edit(a, a)), lambda a: a.flip(1))
    assert found.acc == pytest.approx((2 / 3, 2 / 3, 1 / 3))  # at zero, ties go to class 0
    loss = nn.functional.cross_entropy
    assert found.loss[0] == pytest.approx(loss(2 * x, y).item())
    assert found.loss[1] == pytest.approx(torch.tensor(2.0).log().item())
    assert found.loss[2] == pytest.approx(loss(2 * x.flip(1), y).item())
    scores = found.scores()
    expected = (found.loss[1] - found.loss[2]) / (found.loss[1] - found.loss[0])
    assert scores["loss_recovered"] == pytest.approx(expected)
    assert "acc_recovered" not in scores  # ablation costs no accuracy here


def test_vectors_count_as_right_when_every_label_is() -> None:
    net = nn.Sequential(nn.Identity())
    batch = SimpleNamespace(x=torch.tensor([[5.0, -5.0], [5.0, 5.0]]), y=torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    found = splice_scores(net, [batch], lambda edit: splice(net, "0", lambda a: edit(a, a)), lambda a: a)
    assert found.acc == (0.5, 0.0, 0.5)
    assert found.scores()["acc_recovered"] == 1.0
