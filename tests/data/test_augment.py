import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from saelab.data import augment


@pytest.fixture(scope="module")
def bank():
    return torch.rand(6, 28, 28, generator=torch.Generator().manual_seed(1))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-60, 60), st.integers(-60, 60)), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_roll_equals_torch_roll(moves):
    bank = torch.rand(6, 28, 28)
    index, down, right = torch.tensor(moves).T
    rolled = augment.roll(bank[index], down, right)
    for got, (i, dy, dx) in zip(rolled, moves, strict=True):
        assert torch.equal(got, torch.roll(bank[i], (dy, dx), (0, 1)))


def test_roll_of_a_known_picture():
    picture = torch.arange(9.0).view(1, 3, 3)
    rolled = augment.roll(picture, torch.tensor([1]), torch.tensor([-1]))
    assert rolled[0].tolist() == [[7, 8, 6], [1, 2, 0], [4, 5, 3]]


def test_crop_equals_slicing(bank):
    index, top, left = torch.tensor([[0, 5, 2], [0, 4, 8], [8, 1, 0]])
    for got, i, t, left_ in zip(augment.crop(bank[index], top, left, 20), index, top, left, strict=True):
        assert torch.equal(got, bank[i, t : t + 20, left_ : left_ + 20])


def test_jitter_moves_and_brings_in_zeros(bank):
    down, right = torch.tensor([2, -1, 0, 0, 3, -3]), torch.tensor([0, 1, 0, -3, 3, -3])
    for got, picture, dy, dx in zip(
        augment.jitter(bank, down, right, 3), bank, down.tolist(), right.tolist(), strict=True
    ):
        expected = torch.zeros(28, 28)
        expected[max(dy, 0) : 28 + min(dy, 0), max(dx, 0) : 28 + min(dx, 0)] = picture[
            max(-dy, 0) : 28 + min(-dy, 0), max(-dx, 0) : 28 + min(-dx, 0)
        ]
        assert torch.equal(got, expected)


def test_rotation_by_a_quarter_turn_is_exact(bank):
    turned = augment.rotate(bank, torch.full((6,), math.pi / 2))
    assert torch.allclose(turned, torch.rot90(bank, 1, (1, 2)), atol=1e-4)
    assert torch.allclose(augment.rotate(bank, torch.zeros(6)), bank, atol=1e-5)


def test_rotation_equals_scipy_away_from_the_edge():
    y, x = np.mgrid[0:28, 0:28]
    smooth = (np.exp(-((x - 10) ** 2 + (y - 16) ** 2) / 18)).astype(np.float32)
    for degrees in (-30.0, 10.0, 45.0):
        mine = augment.rotate(torch.from_numpy(smooth)[None], torch.tensor([math.radians(degrees)]))[0].numpy()
        theirs = ndimage.rotate(smooth, degrees, reshape=False, order=1)
        inside = np.hypot(x - 13.5, y - 13.5) < 13.4  # scipy takes what lies half outside as wholly outside
        assert np.abs(mine - theirs)[inside].max() < 1e-4


def test_each_picture_has_its_own_angle(bank):
    angles = torch.linspace(-1, 1, 6)
    together = augment.rotate(bank, angles)
    alone = torch.cat([augment.rotate(bank[i : i + 1], angles[i : i + 1]) for i in range(6)])
    assert torch.equal(together, alone)


def test_noise_has_its_standard_deviation_and_stays_in_range():
    noisy = augment.add_noise_(torch.full((200, 28, 28), 0.5), 0.1, torch.arange(200))
    assert abs(noisy.mean() - 0.5) < 1e-3
    assert abs(noisy.std() - 0.1) < 1e-3
    assert not torch.equal(noisy[0], noisy[1])
    extreme = augment.add_noise_(torch.full((10, 28, 28), 0.5), 5.0, torch.arange(10))
    assert extreme.min() == 0
    assert extreme.max() == 1
