"""Each shape of the dense part has the statistics of its equation."""

import math

import pytest
import torch

from saelab.data import rng
from saelab.data.toy.dense import SHAPES, check_shape, dense_basis, energy, width

N = 20_000
ITEM = rng.bits(rng.key("test"), torch.arange(N))


def test_uniform():
    z = SHAPES["uniform"](ITEM, 3)
    assert z.min() >= -1 and z.max() < 1
    torch.testing.assert_close(z.T @ z / N, torch.eye(3) / 3, atol=0.01, rtol=0)


@pytest.mark.parametrize("shape", ["gaussian", "ambient_gaussian", "lowfreq_dct"])
def test_gaussian(shape):
    z = SHAPES[shape](ITEM, 4)
    torch.testing.assert_close(z.T @ z / N, torch.eye(4), atol=0.03, rtol=0)
    assert (z**4).mean() == pytest.approx(3, abs=0.15)


def test_sphere():
    z = SHAPES["sphere"](ITEM, 3)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(N), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.T @ z / N, torch.eye(3) / 3, atol=0.01, rtol=0)


def test_torus():
    z = SHAPES["torus"](ITEM, 4).unflatten(1, (2, 2))
    torch.testing.assert_close(z.norm(dim=2), torch.ones(N, 2), atol=1e-5, rtol=0)
    quarter = torch.atan2(z[..., 1], z[..., 0]).div(math.pi / 2).floor()
    for circle in quarter.T:
        assert torch.bincount(circle.long() + 2, minlength=4).div(N).sub(0.25).abs().max() < 0.02
    assert torch.corrcoef(z.flatten(1).T).sub(torch.eye(4)).abs().max() < 0.03


def test_swiss_roll():
    x, h, y = SHAPES["swiss_roll"](ITEM, 3).unbind(1)
    t = torch.hypot(x, y)
    assert 1.5 * math.pi - 1e-4 <= t.min() and t.max() <= 4.5 * math.pi + 1e-4
    assert t.mean() == pytest.approx(3 * math.pi, abs=0.1)
    torch.testing.assert_close(x, t * t.cos(), atol=1e-3, rtol=0)
    assert h.min() >= -1 and h.max() < 1 and abs(torch.corrcoef(torch.stack([h, t]))[0, 1]) < 0.03


def test_bases_are_orthonormal():
    for name in SHAPES:
        basis = dense_basis(rng.key("b"), name, 4, 9)
        torch.testing.assert_close(basis @ basis.T, torch.eye(4, dtype=torch.float64))
    smooth = dense_basis(rng.key("b"), "lowfreq_dct", 4, 9)
    assert (smooth[0] == smooth[0, 0]).all()


@pytest.mark.parametrize(
    ("dense", "k", "d", "message"),
    [
        ("ball", 3, 9, "dense='ball' is unknown; choose one of uniform"),
        ("sphere", 1, 9, "dense_dim=1 must be at least 2, with dense=sphere"),
        ("torus", 3, 9, "dense_dim=3 must be even: two for each circle, with dense=torus"),
        ("swiss_roll", 4, 9, "dense_dim=4 must be 3, with dense=swiss_roll"),
        ("ambient_gaussian", 4, 9, "dense_dim=4 must be d=9, as it fills the space"),
        ("gaussian", 10, 9, r"dense_dim=10 is out of range; it must lie in \[0, 9\]"),
    ],
)
def test_shapes_that_do_not_exist(dense, k, d, message):
    with pytest.raises(ValueError, match=message):
        check_shape(dense, k, d)


def test_shapes_that_do():
    for dense, k in (("uniform", 1), ("sphere", 2), ("torus", 2), ("swiss_roll", 3), ("ambient_gaussian", 9)):
        check_shape(dense, k, 9)
        check_shape(dense, 0, 9)  # off


@pytest.mark.parametrize("shape", SHAPES)
def test_energies_are_those_of_the_rows(shape):
    k = width(shape, None, 9)
    check_shape(shape, k, 9)
    squares = SHAPES[shape](ITEM, k).double().square().sum(1)
    error = squares.std().item() / math.sqrt(N)
    assert squares.mean().item() == pytest.approx(energy(shape, k), abs=4.5 * error + 1e-5)


def test_widths():
    assert [width(shape, None, 9) for shape in ("sphere", "torus", "swiss_roll", "ambient_gaussian")] == [3, 4, 3, 9]
    assert width("torus", 2, 9) == 2 and width("sphere", 0, 9) == 0
