"""Which part of sums of pictures is in which stream: by the pictures where rows are pixels, by read-outs everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from saelab.analysis.readout import UNITS, accuracies, factor_r2s
from saelab.analysis.save import write_csv
from saelab.analysis.separation import Pair, assign, clipped, linear_r2, scores, streams_of
from saelab.analysis.separation_baselines import chance, ideal, linear, mixture, pca
from saelab.commands.feed import Feed
from saelab.commands.shared import once
from saelab.data import Combined, Family
from saelab.run import Run
from saelab.sae import SAE
from saelab.sae.two_stream import Streams

FIT, CHOICE, SHOWN = "train", "val", ("test", "test_unseen")  # read-outs and baselines; streams' roles; the scores
ROWS = 5000  # of a split
WIDTH = 16  # axes of the PCA beside a model without a dense code

Metrics = dict[str, float]
Table = list[dict[str, Any]]


class Sample(NamedTuple):
    """Some rows of a split, their labels, what the model makes of them, and their components where rows are pixels."""

    x: Tensor
    labels: dict[str, Tensor]
    streams: Streams
    parts: dict[str, Tensor]

    @property
    def pair(self) -> Pair:
        return Pair(self.streams.dense, self.streams.sparse)


@torch.no_grad()
def examine_separation(run: Run, sae: SAE, given: Feed) -> Metrics:
    """Of runs whose source is `Combined`: write `figures/readouts.csv` and, of pixels, `figures/separation.csv`.

    Gives the metrics `separation/<split>/...`, on held-out rows with tags that were seen (`test`) and that were not.
    """
    if not isinstance(given.source, Combined) or len(given.source.components) < 2 or given.target is not None:
        return {}
    wanted = [split for split in (FIT, CHOICE, *SHOWN) if split in given.store.splits]
    samples = {split: sample(given, given.source, sae, split) for split in wanted}
    read = readouts(given, samples, given.source.families)
    write_csv(run.path / "figures/readouts.csv", read)
    metrics = {f"{row['split']}/{row['family']}/{row['code']}_{UNITS[row['kind']]}": row["value"] for row in read}
    if samples[FIT].parts:
        table = separation(given, samples)
        write_csv(run.path / "figures/separation.csv", table)
        metrics |= headlines(table, [*samples[FIT].parts])
        metrics["clipped"] = clipped(samples["test"].parts, samples["test"].x)
    return {f"separation/{name}": float(value) for name, value in metrics.items()}


def sample(given: Feed, source: Combined, sae: SAE, split: str) -> Sample:
    """The first rows of a split, which are random ones."""
    x = given.store.read(split, given.site, slice(0, ROWS))
    labels = {name: y[: len(x)] for name, y in given.store.labels(split).items()}
    parts: dict[str, Tensor] = {}
    if given.net is None:
        item = given.store.index(split).item[: len(x)]
        parts = {name: part.flatten(1).cpu() for name, part in source.placed(split, item).items()}
    return Sample(x, labels, streams_of(sae, x), parts)


def readouts(given: Feed, samples: Mapping[str, Sample], families: Mapping[str, Family]) -> Table:
    """How well linear read-outs tell each family from either code, from both and from the rows themselves.

    Fitted on training rows. kind: `acc`, or `r2` of continuous factors. A model of one stream has one code alone.
    """
    codes = {
        "raw": [s.x for s in samples.values()],
        "dense": [s.streams.z for s in samples.values()],
        "sparse": [s.streams.f for s in samples.values()],
    }
    codes = {name: parts for name, parts in codes.items() if parts[0].shape[1]}
    if len(codes) == 3:
        codes["both"] = [torch.cat([s.streams.z, s.streams.f], dim=1) for s in samples.values()]
    rows = []
    for name, family in families.items():
        labels = [s.labels[name] for s in samples.values()]
        for code, features in codes.items():

            def values(features: list[Tensor] = features, labels: list[Tensor] = labels, n: int = len(family.classes)):
                return accuracies(features, labels, n) if n else factor_r2s(features, labels)

            found = once(_recipe(given, "read", family=name), values) if code == "raw" else values()
            kind = "acc" if family.classes else "r2"
            for split, value in zip([*samples][1:], found, strict=True):
                rows.append({"code": code, "family": name, "split": split, "kind": kind, "value": value})
    return [row for row in rows if row["split"] in SHOWN]


def separation(given: Feed, samples: Mapping[str, Sample]) -> Table:
    """A row per candidate, split, component and stream; `role` is 1 where the stream is for this component.

    The candidates are the model, `sae`; `mixture`, the picture itself for both; `chance`; `pca`, as many principal
    axes as the model's dense code is wide, and the rest; `linear` maps learned with the truth; and `ideal`, the truth.
    Which stream is for which component is chosen for each on `val`.
    """
    k = samples[FIT].streams.z.shape[1] or WIDTH
    k = min(k, samples[FIT].x.shape[1])
    own = {split: s.pair for split, s in samples.items() if split != FIT}
    x, parts = samples[FIT].x, samples[FIT].parts
    straight: dict[str, str] = dict(zip(("dense", "sparse"), parts, strict=False))

    def known() -> Table:
        held = {split: s for split, s in samples.items() if split != FIT}
        all_x = torch.cat([s.x for s in held.values()])
        all_parts = {name: torch.cat([s.parts[name] for s in held.values()]) for name in parts}
        rivals = {
            "mixture": mixture(all_x),
            "chance": chance(all_x, x),
            "pca": pca(all_x, x, k),
            "linear": linear(all_x, x, parts, straight),
            "ideal": ideal(all_x, all_parts, straight),
        }
        rows = []
        for name, pair in rivals.items():
            streams = zip(*(stream.split([len(s.x) for s in held.values()]) for stream in pair), strict=True)
            rows += judged(name, {split: Pair(*both) for split, both in zip(held, streams, strict=True)}, samples)
        return rows

    ours, fit = judged("sae", own, samples), samples[FIT]
    lines: dict[tuple[str, str], dict[str, float]] = {}
    for split, stream in dict.fromkeys((row["split"], row["stream"]) for row in ours):
        sides = (fit, samples[split])
        both = {name: torch.cat([side.parts[name] for side in sides]) for name in parts}
        e = torch.cat([getattr(side.pair, stream) for side in sides])
        lines[split, stream] = linear_r2(both, e, fit=torch.arange(len(e)) < len(fit.x))
    ours = [row | {"linear_r2": lines[row["split"], row["stream"]][row["component"]]} for row in ours]
    return ours + once(_recipe(given, "separation", k=k), known)


def judged(code: str, pairs: Mapping[str, Pair], samples: Mapping[str, Sample]) -> Table:
    role = assign(samples[CHOICE].parts, pairs[CHOICE])
    rows = []
    for split in (s for s in SHOWN if s in pairs):
        for component, stream, found in scores(samples[split].parts, pairs[split], samples[split].x):
            at = {"code": code, "split": split, "component": component, "stream": stream}
            at |= {"role": int(role.get(stream) == component), "sdr": float(found.sdr.value)}
            rows.append(at | {"low": float(found.sdr.low), "high": float(found.sdr.high), **plain(found._asdict())})
    return rows


def plain(score: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in score.items() if isinstance(value, float)}


def headlines(table: Table, components: list[str]) -> Metrics:
    """Of the model `<split>/<component>/<stream>_<measure>`, and without a stream of the one that is for the component.

    Of another candidate `<split>/<component>/<candidate>_sdr`. `<split>/score` and `<split>/<candidate>_score`: the
    mean SDR over components, each from its stream, 0 dB where none is for it. `swapped`: 1 where the dense stream is
    for another component than the first.
    """
    found: Metrics = {}
    means: dict[str, float] = {}
    for row in table:
        at = f"{row['split']}/{row['component']}"
        mine = row["code"] == "sae"
        if mine:
            found |= {f"{at}/{row['stream']}_{name}": row[name] for name in ("sdr", "r2", "linear_r2")}
        if row["role"]:
            kept = ("sdr", "si_sdr", "gain", "r2") if mine else ("sdr",)
            found |= {f"{at}/{name if mine else row['code'] + '_' + name}": row[name] for name in kept}
            name = f"{row['split']}/{'score' if mine else row['code'] + '_score'}"
            means[name] = means.get(name, 0.0) + row["sdr"] / len(components)
            if mine and row["stream"] == "dense":
                found["swapped"] = float(row["component"] != components[0])
    return {name: value for name, value in (found | means).items() if value == value}


def _recipe(given: Feed, what: str, **more: object) -> dict[str, Any]:
    return {"what": what, "store": given.store.meta.hash, "path": str(given.store.path), "site": given.site, **more}
