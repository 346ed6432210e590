import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saelab.data import Loops
from saelab.data.loops import FACTORS, draw_loops


def pixel_by_formula(row, col, side, size, tx, ty, aspect, rotation, thickness, brightness, p_shape, antialias=True):
    """One pixel in double precision, by the log-sum-exp form of the norm."""
    b, a = size, size * aspect
    dx, dy = col - (side - 1) / 2 - tx, row - (side - 1) / 2 - ty
    u = math.cos(rotation) * dx + math.sin(rotation) * dy
    v = -math.sin(rotation) * dx + math.cos(rotation) * dy
    p = min(max(2 * math.exp(p_shape), 1e-3), 1e6)
    logs = [p * math.log(abs(u) / a + 1e-12), p * math.log(abs(v) / b + 1e-12)]
    top = max(logs)
    r = math.exp((top + math.log(sum(math.exp(x - top) for x in logs))) / p)
    radius = (a + b) / 2
    h, e = 0.5 * thickness / radius, (0.5 / radius if antialias else 1e-9)
    return brightness * min(max((h - abs(r - 1)) / e + 0.5, 0), 1)


RANGES = {
    "size": st.floats(1, 8),
    "tx": st.floats(-12, 12),
    "ty": st.floats(-12, 12),
    "aspect": st.floats(1, 4),
    "rotation": st.floats(0, math.tau),
    "thickness": st.floats(0.5, 5),
    "brightness": st.floats(0, 1),
    "p_shape": st.floats(-1.5, 2.5),
}


@given(st.fixed_dictionaries(RANGES))
@settings(max_examples=40, deadline=None)
def test_every_pixel_equals_the_formula(factors):
    picture = draw_loops(torch.tensor([[factors[name] for name in FACTORS]]), 16)[0]
    expected = [[pixel_by_formula(r, c, 16, **factors) for c in range(16)] for r in range(16)]
    assert torch.allclose(picture, torch.tensor(expected), atol=2e-3)


def test_a_circle_by_hand():
    # radius 5 around the centre of 27 pixels, 2 wide: on the axis full from 4.25 to 5.75, nothing beyond 3.75 and 6.25
    circle = draw_loops(torch.tensor([[5.0, 0, 0, 1, 0.3, 2, 0.8, 0.0]]), 27)[0]
    assert torch.allclose(circle[13, 13:21], torch.tensor([0, 0, 0, 0, 0.4, 0.8, 0.4, 0]), atol=1e-4)
    assert torch.allclose(circle, circle.T, atol=1e-4)
    assert circle[13, 13] == 0


def test_without_antialiasing_a_pixel_is_on_or_off():
    hard = draw_loops(torch.tensor([[5.0, 0, 0, 2, 0.3, 2, 0.7, 0.5]]), 28, antialias=False)
    assert hard.unique().tolist() == pytest.approx([0, 0.7])


def test_factors_fill_their_ranges_independently():
    source = Loops()
    factors = source.batch("train", torch.arange(20_000)).labels["loop"]
    assert factors.shape == (20_000, 8)
    for column, (low, high) in zip(factors.T, source.ranges.values(), strict=True):
        assert low <= column.min() < low + 0.001 * (high - low)
        assert high - 0.001 * (high - low) < column.max() <= high
        assert abs(column.mean() - (low + high) / 2) < 0.01 * (high - low)
    off_diagonal = torch.corrcoef(factors.T) - torch.eye(8)
    assert off_diagonal.abs().max() < 0.03


def test_pictures_belong_to_their_factors():
    source = Loops(train_length=1000)
    batch = source.batch("train", torch.arange(600), 3)
    assert torch.equal(batch.x[:, 0], draw_loops(batch.labels["loop"], 28))
    assert batch.x.max() <= 1
    assert batch.x.flatten(1).sum(1).min() >= 0


def test_train_is_new_in_every_epoch_and_splits_differ():
    source = Loops()
    index = torch.arange(50)
    first = source.batch("train", index, 0).labels["loop"]
    assert not torch.isclose(first, source.batch("train", index, 1).labels["loop"]).any(1).all()
    for split in ("val", "test"):
        assert torch.equal(source.batch(split, index, 0).x, source.batch(split, index, 9).x)
        assert not torch.equal(first, source.batch(split, index).labels["loop"])
    assert not torch.equal(first, Loops(seed=1).batch("train", index).labels["loop"])


def test_targets():
    source = Loops(size=(4.0, 4.0))
    batch = source.batch("val", torch.arange(100))
    assert source.n_out == 8
    assert batch.y[:, 0].tolist() == [0.0] * 100  # a range of one value
    assert batch.y.min() >= 0
    assert batch.y.max() <= 1
    low, high = source.ranges["tx"]
    assert torch.allclose(batch.y[:, 1] * (high - low) + low, batch.labels["loop"][:, 1], atol=1e-5)
    zeros = Loops(target="onehot")
    assert zeros.n_out == 10
    assert zeros.batch("val", torch.arange(3)).y.tolist() == [[0.0] * 10] * 3
    assert source.families["loop"].factors == FACTORS


def test_image_size_and_normalisation():
    source = Loops(image_size=20, normalize=True)
    assert source.batch("test", torch.arange(2)).x.shape == (2, 1, 20, 20)
    assert source.batch("test", torch.arange(20)).x.min() == pytest.approx(-0.1307 / 0.3081, abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_length": 0}, "train_length=0 is too small"),
        ({"test_length": -1}, "test_length=-1"),
        ({"val_length": 0}, "val_length=0"),
        ({"image_size": 0}, "image_size=0 is too small"),
        ({"size": (0.0, 2.0)}, "size=0.0 is too small; it must be greater than 0"),
        ({"thickness": (-1.0, 2.0)}, "thickness=-1.0"),
        ({"aspect": (0.5, 2.0)}, "aspect=0.5 is too small; it must be at least 1"),
        ({"brightness": (0.5, 1.5)}, "brightness=1.5 is out of range"),
        ({"p_shape": (0.0, 20.0)}, "p_shape=20.0 is out of range"),
        ({"tx": (2.0, 1.0)}, r"tx=\[2.0, 1.0\] is not an interval; give two numbers"),
        ({"rotation": (1.0,)}, r"rotation=\[1.0\] is not an interval"),
        ({"target": "int"}, "target='int' is unknown; choose one of factors, onehot"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Loops(**arguments)
