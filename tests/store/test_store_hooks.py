from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from saelab.store import capture, list_sites, splice


class Pair(NamedTuple):
    kept: list[Tensor]
    other: Tensor


class Nested(nn.Module):
    def forward(self, x: Tensor, *, kind: str) -> Any:
        return {"tuple": (None, x + 1), "dict": {"a": x + 1, "b": x}, "named": Pair([x + 1], x)}[kind]


class Around(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = Nested(), kind

    def forward(self, x: Tensor) -> Any:
        return self.inner(x=x, kind=self.kind)


def test_an_inplace_operation_cannot_change_what_was_captured(net) -> None:
    x = torch.randn(7, 6)
    with capture(net, ["net.0", "net.1:in", "net.1"]) as acts:
        net(x)
    pre = net.net[0](x)
    assert (pre < 0).any()
    assert torch.equal(acts["net.0"], pre)
    assert torch.equal(acts["net.1:in"], pre)
    assert torch.equal(acts["net.1"], pre.relu())


def test_each_pass_replaces_the_last_and_hooks_go_away(net) -> None:
    with capture(net, ["net.1"]) as acts:
        net(torch.zeros(2, 6))
        net(torch.zeros(3, 6))
    assert acts["net.1"].shape == (3, 8)
    net(torch.zeros(4, 6))
    assert acts["net.1"].shape == (3, 8)


def test_unknown_site_lists_the_nearest(net) -> None:
    with pytest.raises(ValueError, match=r"no site 'net.11'.*net\.1"), capture(net, ["net.11"]):
        pass


def test_a_site_that_runs_twice_is_refused_and_not_listed() -> None:
    act = nn.ReLU()
    net = nn.Sequential(nn.Linear(3, 3), act, nn.Linear(3, 3))
    twice = nn.Sequential(net, act)
    assert {"0.1", "1"}.isdisjoint(list_sites(twice, torch.zeros(1, 3)))
    with capture(twice, ["0.1"]), pytest.raises(ValueError, match="more than once"):
        twice(torch.zeros(1, 3))


def test_list_sites(net) -> None:
    sites = list_sites(net, torch.zeros(2, 6))
    assert sites["net.0"] == (2, 8)
    assert sites["net.0:in"] == (2, 6)
    assert sites["sequence"] == (2, 4, 5)
    assert sites["image"] == (2, 3, 2, 2)
    assert "" not in sites
    assert net.training
    norm = nn.Sequential(nn.BatchNorm1d(6))
    list_sites(norm, torch.ones(2, 6))
    assert norm[0].running_mean.eq(0).all()  # to look is not to train


@pytest.mark.parametrize(
    ("kind", "site"), [("tuple", "inner"), ("dict", "inner"), ("named", "inner"), ("dict", "inner:in")]
)
def test_capture_and_splice_in_nested_values(kind: str, site: str) -> None:
    net, x = Around(kind), torch.arange(6.0).reshape(2, 3)
    with capture(net, [site]) as acts:
        plain = net(x)
    assert torch.equal(acts[site], x if site.endswith(":in") else x + 1)
    with splice(net, site, lambda a: a * 10):
        out = net(x)
    first = {"tuple": lambda o: o[1], "dict": lambda o: o["a"], "named": lambda o: o.kept[0]}[kind]
    assert type(out) is type(plain)
    assert torch.equal(first(out), x * 10 + 1 if site.endswith(":in") else (x + 1) * 10)
    assert torch.equal(first(net(x)), x + 1)


def test_splice_replaces_an_input_before_an_inplace_op(net) -> None:
    x = torch.randn(5, 6)
    with splice(net, "net.1:in", torch.zeros_like), capture(net, ["net.1"]) as acts:
        net(x)
    assert (acts["net.1"] == 0).all()
    with splice(net, "net.1", lambda a: a), torch.no_grad():
        assert torch.equal(net(x), net(x))
    with splice(net, "net.1", lambda a: a[:, :3]), pytest.raises(ValueError, match=r"\[5, 3\] where \[5, 8\]"):
        net(x)
