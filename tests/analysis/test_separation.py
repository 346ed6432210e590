"""Signal to distortion by hand and by loops, roles of streams, baselines with answers that are known."""

import math

import pytest
import torch

from saelab.analysis.separation import (
    Pair,
    assign,
    clipped,
    decibels,
    gain_r2,
    linear_r2,
    principal_axes,
    score,
    scores,
    sdr,
    si_sdr,
    streams_of,
)
from saelab.analysis.separation_baselines import chance, ideal, linear, mixture, pca
from saelab.sae import DenSaE, TopK

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
E = X + 0.5 * torch.randn(40, 6, generator=torch.Generator().manual_seed(1)) + 3


def naive_sdr(c, e):
    """The definition, entry by entry."""
    found = []
    for i in range(len(c)):
        signal = distortion = 0.0
        for j in range(c.shape[1]):
            a, b = float(c[i, j] - c[:, j].mean()), float(e[i, j] - e[:, j].mean())
            signal += a * a
            distortion += (a - b) ** 2
        found.append(10 * math.log10(signal / distortion))
    return found


def naive_si_sdr(c, e):
    c, e = (y - y.mean(0) for y in (c.double(), e.double()))
    found = []
    for a, b in zip(c, e, strict=True):
        target = a * (float(a @ b) / float(a @ a))
        found.append(10 * math.log10(float(target @ target) / float((target - b) @ (target - b))))
    return found


def test_sdr_by_hand():
    c = torch.tensor([[1.0, 0], [-1, 0]])  # centred already
    e = torch.tensor([[0.9, 0], [-0.9, 0]])
    assert sdr(c, e).tolist() == pytest.approx([20, 20], abs=1e-5)  # a tenth is missing
    assert sdr(c, e + torch.tensor([7.0, -3])).tolist() == pytest.approx([20, 20], abs=1e-4)  # a constant is nobody's
    assert sdr(c, torch.zeros(2, 2)).tolist() == [0, 0]
    assert sdr(c, c).tolist() == [120, 120]
    assert sdr(c, -c).tolist() == pytest.approx([-6.0206, -6.0206], abs=1e-4)
    assert sdr(torch.ones(2, 2), e).tolist() == [-120, -120]  # there is no c, and the stream is not empty
    assert sdr(torch.ones(2, 2), torch.ones(2, 2)).isnan().all()


def test_sdr_by_loops():
    assert sdr(X, E).tolist() == pytest.approx(naive_sdr(X, E), abs=1e-5)
    assert si_sdr(X, E).tolist() == pytest.approx(naive_si_sdr(X, E), abs=1e-5)


def test_si_sdr_does_not_see_scales():
    assert torch.allclose(si_sdr(X, E), si_sdr(X, -7 * E), atol=1e-9)
    assert not torch.allclose(sdr(X, E), sdr(X, 2 * E))
    assert si_sdr(X, torch.ones_like(X)).isnan().all()
    c, e = torch.tensor([[1.0, 0], [-1, 0]]), torch.tensor([[2.0, 1], [-2, -1]])
    assert si_sdr(c, e).tolist() == pytest.approx([10 * math.log10(4)] * 2)


def test_decibels_are_kept_finite():
    one, none = torch.tensor([1.0]).double(), torch.tensor([0.0]).double()
    assert decibels(one, none).item() == pytest.approx(120)
    assert decibels(none, one).item() == pytest.approx(-120)


def test_gain_r2_is_that_of_a_line_without_intercept():
    c, e = X - X.mean(0), E - E.mean(0)
    gain = float((c * e).sum() / (e * e).sum())
    assert gain_r2(X, E) == pytest.approx(1 - float((c - gain * e).square().sum() / c.square().sum()), abs=1e-6)
    assert gain_r2(X, -5 * X + 2) == pytest.approx(1)
    assert gain_r2(X, torch.zeros_like(X)) == 0


def test_linear_r2_finds_a_leak_that_is_rotated_and_drowned():
    g = torch.Generator().manual_seed(2)
    c, other = torch.randn(2000, 3, generator=g), 4 * torch.randn(2000, 8, generator=g)
    rotation = torch.linalg.qr(torch.randn(11, 11, generator=g)).Q
    e = torch.cat([0.1 * c, other], 1) @ rotation
    fit = torch.arange(2000) < 1000
    parts = {"small": c, "large": other[:, :3]}
    assert linear_r2(parts, e, fit=fit) == pytest.approx({"small": 1, "large": 1}, abs=1e-6)
    few = linear_r2(parts, e, fit=fit, axes=8)  # what is small is not among the largest axes
    assert few["small"] == pytest.approx(0, abs=0.02) and few["large"] > 0.99
    assert linear_r2(parts, torch.zeros(2000, 5), fit=fit) == {"small": 0, "large": 0}


def test_principal_axes_are_the_directions_of_largest_variance():
    axes = principal_axes(X, 2)
    _, _, v = torch.linalg.svd((X - X.mean(0)).double())
    assert torch.allclose((axes.T @ v[:2].T).abs(), torch.eye(2).double(), atol=1e-6)


def test_score_and_its_interval():
    found = score(X, E, X + 1, times=400)
    each = sdr(X, E)
    assert float(found.sdr.value) == each.median()
    assert each.min() < found.sdr.low < found.sdr.value < found.sdr.high < each.max()
    assert found.gain == pytest.approx(float(each.median() - 120))
    assert found.r2 == pytest.approx(
        1 - float(((X - E) - (X - E).mean(0)).square().sum() / (X - X.mean(0)).square().sum()), abs=1e-5
    )


def test_streams_get_the_components_that_they_hold():
    parts = {"digit": X, "tag": X.roll(1, 0) * 0.5}
    straight = Pair(parts["digit"] + 2, parts["tag"])
    assert assign(parts, straight) == {"dense": "digit", "sparse": "tag"}
    assert assign(parts, Pair(*reversed(straight))) == {"dense": "tag", "sparse": "digit"}
    three = parts | {"loop": X.roll(7, 0)}
    assert assign(three, Pair(three["loop"], three["digit"])) == {"dense": "loop", "sparse": "digit"}
    assert assign({"digit": X}, straight) == {"dense": "digit"}
    alone = Pair(torch.zeros_like(X), parts["digit"] + parts["tag"])  # a model of one stream
    assert assign(parts, alone) == {"dense": "tag", "sparse": "digit"}  # the sum is mostly the larger one
    told = {(name, stream): s for name, stream, s in scores(parts, straight, straight.whole, times=10)}
    assert len(told) == 6
    assert float(told["digit", "dense"].sdr.value) > 60
    assert told["tag", "whole"].gain == 0


def components(n, seed=3):
    """A component in a plane of its own, and one in eight other dimensions."""
    g = torch.Generator().manual_seed(seed)
    digit, tag = torch.zeros(n, 10), torch.zeros(n, 10)
    digit[:, :2] = 3 * torch.randn(n, 2, generator=g)
    tag[:, 2:] = torch.randn(n, 8, generator=g)
    return {"digit": digit, "tag": tag + 0.5}


def test_baselines():
    train, test = components(3000), components(200, seed=4)
    rows, x = train["digit"] + train["tag"], test["digit"] + test["tag"]
    role = {"dense": "digit", "sparse": "tag"}
    axes = pca(x, rows, 2)  # the plane has the largest variance
    assert sdr(test["digit"], axes.dense).median() > 25
    assert torch.allclose(axes.dense + axes.sparse, x - rows.mean(0), atol=1e-5)
    line = linear(x, rows, train, role)
    assert min(sdr(test["digit"], line.dense).median(), sdr(test["tag"], line.sparse).median()) > 25
    dealt = chance(x, rows)
    assert torch.allclose(dealt.dense + dealt.sparse, x - rows.mean(0), atol=1e-4)
    assert torch.linalg.matrix_rank(dealt.dense) == torch.linalg.matrix_rank(dealt.sparse) == 5
    assert mixture(x).dense is x


def test_the_ideal_bears_what_was_clipped_in_equal_parts():
    parts = {"digit": torch.tensor([[0.8, 0.2], [0.0, 0.5]]), "tag": torch.tensor([[0.6, 0.0], [0.0, 0.25]])}
    x = (parts["digit"] + parts["tag"]).clamp(max=1)
    best = ideal(x, parts, {"dense": "digit", "sparse": "tag"})
    assert best.dense.tolist() == [pytest.approx([0.6, 0.2]), pytest.approx([0.0, 0.5])]
    assert torch.allclose(best.whole, x)
    least = sum(float((parts[n] - e).square().sum()) for n, e in zip(parts, best, strict=True))
    for shift in (0.01, -0.01):  # of all pairs with this sum, none is nearer
        other = Pair(best.dense + shift, best.sparse - shift)
        assert sum(float((parts[n] - e).square().sum()) for n, e in zip(parts, other, strict=True)) > least
    # (0.4, 0) of (1.4, 0.2) and (0, 0.75): centred 0.2² 2 over (0.7² + 0.275²) 2
    assert clipped(parts, x) == pytest.approx(0.04 / (0.7**2 + 0.275**2), abs=1e-6)
    assert clipped(parts, parts["digit"] + parts["tag"]) == 0


def test_streams_of_one_stream_and_of_two():
    torch.manual_seed(0)
    two = DenSaE(d_in=6, d_sae=5, n_dense=2).eval()
    found = streams_of(two, X, batch_size=7)
    assert torch.allclose(found.dense + found.sparse, two(X), atol=1e-5)
    assert (found.z.shape, found.f.shape) == ((40, 2), (40, 5))
    one = TopK(d_in=6, d_sae=5, k=2).eval()
    found = streams_of(one, X)
    assert torch.equal(found.sparse, one(X)) and not found.dense.any()
    assert (found.z.shape, found.f.shape) == ((40, 0), (40, 5))
    one.dense_codes = True
    found = streams_of(one, X)
    assert torch.equal(found.dense, one(X)) and not found.sparse.any()
    assert (found.z.shape, found.f.shape) == ((40, 5), (40, 0))
