"""Random numbers that are a function of what they are for: a counter-based generator in integer arithmetic.

A stream is a 64-bit key made of names; a number in it is found by its counters (epoch, item, pixel, ...), so any
number can be had alone, in any order, in any batch, on any device. Counters are absorbed one after another:

    h_0 = key,   h_{i+1} = mix(h_i + (c_i + 1) * 0x9E3779B97F4A7C15 mod 2^64)

where `mix` is the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators"). Integer results are the same bits on every device, and so is `uniform`; `normal` passes through `log`
and `cos`, whose last bit a device may round in its own way.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MUL = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFT = (30, 27, 31)
_M64 = (1 << 64) - 1


def key(*names: int | str) -> int:
    """The 64-bit key of the stream called `names`; other names, an independent stream."""
    return int.from_bytes(hashlib.blake2b(repr(names).encode(), digest_size=8).digest(), "little")


def bits(stream: int, *counters: int | Tensor) -> Tensor:
    """64 random bits for each combination of counters.

    stream: a `key`. counters: ints or int64 tensors that broadcast together, at least one a tensor; an int counts as a
    tensor filled with it. Returns int64 of the broadcast shape.
    """
    first = next((i for i, counter in enumerate(counters) if isinstance(counter, Tensor)), None)
    if first is None:
        raise ValueError(f"counters={counters} are all plain ints; pass at least one tensor, e.g. torch.arange(n)")
    start = stream  # leading ints are absorbed without making a tensor of them
    for counter in counters[:first]:
        assert isinstance(counter, int)
        start = _mix_int((start + (counter + 1) * _GOLDEN) & _M64)
    state = _mix_(torch.mul(counters[first], _signed(_GOLDEN)).add_(_signed((start + _GOLDEN) & _M64)))
    for counter in counters[first + 1 :]:
        # each sum is a new tensor, so that mixing in place leaves the caller's counters as they are
        if isinstance(counter, int):
            state = _mix_(state + _signed((counter + 1) * _GOLDEN & _M64))
        else:
            state = _mix_(torch.add(state, counter, alpha=_signed(_GOLDEN)).add_(_signed(_GOLDEN)))
    return state


def uniform(h: Tensor) -> Tensor:
    """U[0, 1) float32 from the top 24 bits of `h`: every value is a multiple of 2^-24, exactly representable."""
    return _high(h, 24).to(torch.float32).mul_(2.0**-24)


def integers(h: Tensor, low: int, high: int) -> Tensor:
    """Uniform int64 in [low, high), from the top 32 bits of `h` (a bias below (high - low) / 2^32).

    `h << 32` has the lower 32 bits on top, which gives a second, independent integer.
    """
    if not 0 < high - low < 2**31:
        raise ValueError(f"low={low}, high={high}: high - low must be between 1 and 2^31 - 1")
    return _high(h, 32).mul_(high - low).bitwise_right_shift_(32).add_(low)


def normal(h: Tensor) -> Tensor:
    """N(0, 1) float32 by Box and Muller from the top 48 bits of `h`; |value| is at most sqrt(48 ln 2) = 5.77."""
    radius = _high(h, 24).add_(1).to(torch.float32).mul_(2.0**-24).log_().mul_(-2.0).sqrt_()
    angle = ((h >> 16) & 0xFFFFFF).to(torch.float32).mul_(math.tau * 2.0**-24)
    return radius.mul_(angle.cos_())


def permutation(stream: int, n: int, *counters: int | Tensor) -> Tensor:
    """A uniform permutation of 0..n-1 in the last dimension, one for each combination of counters (`[..., 1]`)."""
    device = next((c.device for c in counters if isinstance(c, Tensor)), torch.device("cpu"))
    return bits(stream, *counters, torch.arange(n, device=device)).argsort(dim=-1, stable=True)


def _high(h: Tensor, count: int) -> Tensor:
    """The top `count` bits as a non-negative int64. `>>` copies the sign, hence the mask."""
    return (h >> (64 - count)).bitwise_and_((1 << count) - 1)


def _mix_(z: Tensor) -> Tensor:
    for shift, factor in zip(_SHIFT, (*_MUL, None), strict=True):
        z.bitwise_xor_((z >> shift).bitwise_and_((1 << (64 - shift)) - 1))
        if factor is not None:
            z.mul_(_signed(factor))
    return z


def _mix_int(z: int) -> int:
    for shift, factor in zip(_SHIFT, (*_MUL, 1), strict=True):
        z = ((z ^ (z >> shift)) * factor) & _M64
    return z


def _signed(z: int) -> int:
    """The int64 with the bits of the unsigned `z`."""
    return z - (1 << 64) if z >= 1 << 63 else z
