"""Amplitudes have the mean and the spread of their feature."""

import math

import pytest
import torch

from saelab.data import rng
from saelab.data.toy.amplitude import Amplitude
from saelab.data.toy.grid import STEP

N = 50_000


def make(n=3, **options):
    defaults = {"kind": "constant", "mean": (1.0, 1.0), "std": 0.0, "std_spread": 0.0, "stream": rng.key("a")}
    return Amplitude(n, **defaults | options)


def draws(amplitude, feature):
    item = rng.bits(rng.key("test"), torch.arange(N))
    return amplitude.draw(item, torch.full((N,), feature))


def test_constants_run_from_the_first_to_the_last():
    amplitude = make(mean=(5.0, 4.0))
    assert [draws(amplitude, i).unique().item() for i in range(3)] == [5.0, 4.5, 4.0]


@pytest.mark.parametrize("kind", ["uniform", "folded_normal"])
def test_mean_and_std_are_the_features_own(kind):
    amplitude = make(kind=kind, mean=(5.0, 3.0), std=0.5, std_spread=0.3)
    assert len(set(amplitude.std.tolist())) == 3
    for i in range(3):
        x = draws(amplitude, i)
        std = amplitude.std[i].item()
        assert x.mean() == pytest.approx(5 - i, abs=5 * std / math.sqrt(N))
        assert x.std() == pytest.approx(std, rel=0.02)
        if kind == "uniform":
            assert (x - (5 - i)).abs().max() == pytest.approx(math.sqrt(3) * std, rel=0.01)


def test_a_folded_normal_is_folded():
    x = draws(make(kind="folded_normal", std=1.0), 0)
    assert x.min() >= STEP
    mean = math.sqrt(2 / math.pi) * math.exp(-0.5) + math.erf(1 / math.sqrt(2))  # of |N(1, 1)|
    assert x.mean() == pytest.approx(mean, abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "lognormal"}, "amplitude='lognormal' is unknown; choose one of constant, uniform, folded_normal"),
        ({"mean": (1.0,)}, r"amplitude_mean=\[1.0\] must be two numbers"),
        ({"mean": (1.0, 0.0)}, "amplitude_mean=0.0 is too small; it must be greater than 0"),
        ({"std": -1.0}, "amplitude_std=-1.0 is too small"),
        ({"std": 0.1}, "amplitude_std=0.1, amplitude_std_spread=0.0 have no meaning with amplitude=constant; set them"),
        ({"kind": "uniform", "std": 0.6}, r"amplitude=uniform reaches below zero, as sqrt\(3\) std is 1.04 times"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
