"""Which component of a picture is in which stream of a model: for pictures that are sums of known ones.

A component c and a stream e are rows of pixels `[n, d]`. A constant picture is nobody's: the model's may be in either
stream, so both are taken less their own mean over the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saelab.analysis.intervals import Interval, bootstrap
from saelab.analysis.leakage import r2
from saelab.analysis.streams import explained
from saelab.sae import SAE
from saelab.sae.two_stream import Streams, TwoStream

STREAMS = ("dense", "sparse")
TINY = 1e-12  # of a row's energy: the least error, 120 dB below
AXES = 64  # principal axes of a stream that a line is fitted to
Rows = Float[Tensor, "n d"]


class Pair(NamedTuple):
    """What the two streams make of some rows, in the space of the rows; their sum is the reconstruction."""

    dense: Rows
    sparse: Rows

    @property
    def whole(self) -> Rows:
        return self.dense + self.sparse


def streams_of(sae: SAE, x: Rows, batch_size: int = 2048) -> Streams:
    """Both codes and both pictures of some rows; of a model of one stream the other is of no width, and zero."""
    parts = [_streams(sae, some) for some in x.split(batch_size)]
    return Streams(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _streams(sae: SAE, x: Rows) -> Streams:
    if isinstance(sae, TwoStream):
        return sae.streams(x)
    f = sae.encode(x)
    whole = sae.decode(f, x)
    nothing = torch.zeros_like(whole)
    if sae.dense_codes:
        return Streams(f, f[:, :0], whole, nothing)
    return Streams(f[:, :0], f, nothing, whole)


def centred(y: Rows) -> Rows:
    return y - y.mean(0)


def sdr(c: Rows, e: Rows) -> Float[Tensor, " n"]:
    """Signal to distortion, 10 log10(‖c‖² / ‖c − e‖²) of each centred row, in dB.

    0 for an estimate of zeros, at most 120, nan for a row of c without energy (Vincent et al. 2006, without filters).
    """
    c, e = centred(c.double()), centred(e.double())
    return decibels(c.square().sum(1), (c - e).square().sum(1))


def si_sdr(c: Rows, e: Rows) -> Float[Tensor, " n"]:
    """The same whatever the estimate's scale: ‖a c‖² / ‖a c − e‖² with a = ⟨e, c⟩ / ‖c‖² (Le Roux et al. 2019).

    nan for an estimate of zeros, which has no direction.
    """
    c, e = centred(c.double()), centred(e.double())
    signal = c * ((e * c).sum(1) / c.square().sum(1))[:, None]
    found = decibels(signal.square().sum(1), (signal - e).square().sum(1))
    return found.where(e.square().sum(1) > 0, torch.nan)


def decibels(signal: Float[Tensor, " n"], distortion: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """10 log10(signal / distortion), kept within ±120; nan where both are zero."""
    both = signal + distortion
    ratio = signal.clamp(min=TINY * both) / distortion.clamp(min=TINY * both)
    return (10 * ratio.log10()).where(both > 0, torch.nan)


def gain_r2(c: Rows, e: Rows) -> float:
    """R² of c from e times the one best number, all rows together: ⟨c, e⟩² / ‖c‖² ‖e‖² of the centred; 0 for zeros."""
    c, e = centred(c.double()), centred(e.double())
    energy = e.square().sum()
    return ((c * e).sum().square() / (c.square().sum() * energy)).item() if energy > 0 else 0.0


def linear_r2(
    components: Mapping[str, Rows], e: Float[Tensor, "n q"], *, fit: Bool[Tensor, " n"], axes: int = AXES
) -> dict[str, float]:
    """R² of each component, outside `fit`, from a line on the `axes` largest principal axes that e has inside it.

    What a component leaves in a stream in whatever form, as long as it is linear and large enough to be among these.
    """
    code = e @ principal_axes(e[fit], axes).to(e)
    return {name: r2(code, c, fit=fit) for name, c in components.items()}


def principal_axes(y: Rows, k: int) -> Float[Tensor, "d k"]:
    """The k directions of largest variance, the largest first, in float64."""
    y = centred(y.double())
    return torch.linalg.eigh(y.T @ y).eigenvectors[:, -k:].flip(1)


class Score(NamedTuple):
    """How much of a component is in a stream; over rows the median, with its interval by drawing rows again.

    gain: SDR less that of the whole picture as an estimate of c.  r2: the stream as it is, but for a bias.
    """

    sdr: Interval
    si_sdr: float
    gain: float
    r2: float
    gain_r2: float


def score(c: Rows, e: Rows, x: Rows, *, times: int = 200) -> Score:
    """Of a stream e of the picture x as an estimate of the component c."""
    each = sdr(c, e)
    interval = bootstrap(lambda rows: each[rows].nanmedian(), len(each), times=times)
    gain = (each - sdr(c, x)).nanmedian().item()
    return Score(interval, si_sdr(c, e).nanmedian().item(), gain, explained(c, e), gain_r2(c, e))


def assign(components: Mapping[str, Rows], pair: Pair) -> dict[str, str]:
    """Which component each stream is for, so that the mean of the components' median SDRs is largest.

    A component that no stream is left for counts as 0 dB. Streams as (stream -> component); the first of equal ones,
    in which the dense stream has the first component.
    """
    value = {
        (stream, name): sdr(c, getattr(pair, stream)).nanmedian().item()
        for stream in STREAMS
        for name, c in components.items()
    }
    candidates = permutations(components, min(len(STREAMS), len(components)))
    best = max(candidates, key=lambda names: sum(value[both] for both in zip(STREAMS, names, strict=False)))
    return dict(zip(STREAMS, best, strict=False))


def scores(
    components: Mapping[str, Rows], pair: Pair, x: Rows, *, times: int = 200
) -> Iterator[tuple[str, str, Score]]:
    """Component, stream (`dense`, `sparse`, or their sum, `whole`) and score."""
    for name, c in components.items():
        for stream in (*STREAMS, "whole"):
            yield name, stream, score(c, getattr(pair, stream), x, times=times)


def clipped(components: Mapping[str, Rows], x: Rows) -> float:
    """What clipping took from the sum of the components, as a share of the sum's variance: Var(Σ c − x) / Var(Σ c)."""
    total = torch.stack([*components.values()]).sum(0)
    return 1 - explained(total, x)
