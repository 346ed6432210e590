"""A model's sparse and dense part beside the true ones, and beside chance, linear maps and the true directions."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from saelab.analysis.baselines import chance, lasso, linear
from saelab.analysis.matched import matched, matched_scores
from saelab.analysis.rate import BITS, Point, ev_at, rate_curve
from saelab.analysis.save import write_csv
from saelab.analysis.streams import Parts, stream_scores
from saelab.analysis.truth import cosines, match, random_atoms
from saelab.commands.feed import Feed
from saelab.commands.shared import once
from saelab.run import Run

Metrics = dict[str, float]
OWN = ("ev", "l0", "dead")  # of the SAE itself these are `test/` metrics, of all rows


class Sample(NamedTuple):
    """Held-out rows, what is true of them, and the half that read-outs are fitted on."""

    x: Float[Tensor, "n d"]
    true: Parts
    basis: Float[Tensor, "k d"]
    fit: Bool[Tensor, " n"]


class Judged(NamedTuple):
    """A candidate's scores, and its EV over bits."""

    scores: Metrics
    curve: list[Point]


def examine_streams(run: Run, given: Feed, sample: Sample, found: Parts) -> Metrics:
    """Write `figures/streams.csv`, a row per candidate, and `figures/rate.csv`; give the metrics without their prefix.

    The candidates are the SAE, `chance` with as many random directions, `linear` maps learned with the truth, `lasso`,
    the true directions with an encoder that sees x alone, and `ideal`, the truth itself. In the metrics the SAE's own
    scores are called by their names, another's `<candidate>_<name>`.
    """
    x, true, _, fit = sample
    cos = cosines(found.atoms, true.atoms)
    k = max(1, round((found.f != 0).sum(1).double().mean().item()))
    random = chance(x, found, k=k, fit=fit)
    judged = {
        "sae": _judge(sample, found, cos),
        "chance": _judge(sample, random, cosines(random_atoms(*found.atoms.shape), true.atoms)),
        **once({"what": "streams", "store": given.store.meta.hash, "site": given.site}, lambda: _known(sample)),
    }
    write_csv(run.path / "figures" / "streams.csv", [{"code": name} | j.scores for name, j in judged.items()])
    points = [{"code": name} | point._asdict() for name, j in judged.items() for point in j.curve]
    write_csv(run.path / "figures" / "rate.csv", points)
    metrics = {name: value for name, value in judged.pop("sae").scores.items() if name not in OWN}
    return metrics | {f"{who}_{name}": value for who, j in judged.items() for name, value in j.scores.items()}


def _known(sample: Sample) -> dict[str, Judged]:
    """The candidates that no SAE has a part in."""
    x, true, basis, fit = sample
    own = cosines(true.atoms, true.atoms)
    nothing = x[:, :0]
    transform = Parts(nothing, nothing, x[:0], x)  # x sent along its principal axes
    by_line = _judge(sample, linear(x, true, basis, fit=fit), own, sent=transform)
    return {
        "linear": by_line,
        "lasso": _judge(sample, lasso(x, true, basis, fit=fit), own),
        "ideal": _judge(sample, true, own),
    }


def _judge(sample: Sample, found: Parts, cos: Float[Tensor, "s t"], sent: Parts | None = None) -> Judged:
    """cos: of the directions that the codes stand for with the true ones. sent: what is coded in bits, if not this."""
    x, true, _, fit = sample
    pairs = matched(found.f[~fit], true.f[~fit], cos, match(cos))
    scores = matched_scores(pairs) | stream_scores(x, found, true, fit=fit)
    curve = rate_curve(x[~fit], (sent or found).of(~fit))
    return Judged(scores | {f"ev_{bits}_bits": ev_at(curve, bits) for bits in BITS}, curve)
