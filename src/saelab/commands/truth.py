"""An SAE beside the true features, where a source or an array gives them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from saelab.analysis import oracle
from saelab.analysis.save import write_csv
from saelab.analysis.truth import Counts, add, auroc, count
from saelab.analysis.truth_table import (
    Directions,
    detection_scores,
    detection_table,
    direction_scores,
    directions,
    directions_table,
)
from saelab.commands.feed import Feed
from saelab.commands.galleries import SPLIT
from saelab.run import Run
from saelab.sae import SAE
from saelab.store import Index

BATCH = 2048
RANKED_ROWS = 20_000  # of which all codes are held at once, to be ranked

Metrics = dict[str, float]


@torch.no_grad()
def examine_truth(run: Run, sae: SAE, given: Feed, density: Tensor) -> Metrics:
    """Write `figures/truth.csv`, a row per latent, and give the `truth/` metrics; nothing without a known truth.

    density: how often each latent fires on the split.
    """
    if given.truth is None:
        return {}
    alive, length = density > 0, given.truth.dictionary.norm(dim=1)
    features = given.truth.dictionary / length.clamp_min(1e-12)[:, None]
    first = given.store.read(SPLIT, given.site, slice(0, 1))
    atoms = atoms_of(sae, first)
    found = directions(atoms, features)
    table, scores = directions_table(found, alive), direction_scores(found, alive)
    if given.truth.codes is not None:
        counts, area = _detect(sae, given, atoms, features, length, found)
        detected = detection_table(counts, found.target, area)
        table = [row | more for row, more in zip(table, detected, strict=True)]
        scores |= detection_scores(counts, area) | {"oracle_ev": _oracle(given, features, length, len(atoms))}
    write_csv(run.path / "figures" / "truth.csv", table)
    return {f"truth/{name}": value for name, value in scores.items() if not math.isnan(value)}


def atoms_of(sae: SAE, x: Tensor) -> Tensor:
    """What each latent adds to the reconstruction of the row `x` `[1, d]` when its code is one: `[d_sae, d]`."""
    nothing = sae.decode(torch.zeros(1, sae.d_sae), x)
    codes = (one_hot(latents, sae.d_sae).float() for latents in torch.arange(sae.d_sae).split(BATCH))
    return torch.cat([sae.decode(f, x.expand(len(f), -1)) - nothing for f in codes])


class Rows(NamedTuple):
    """Rows of the split with their true codes, of features of norm one."""

    x: Tensor
    codes: Tensor


def true_rows(given: Feed, length: Tensor) -> Iterator[Rows]:
    """The whole split, some rows at a time."""
    assert given.truth is not None and given.truth.codes is not None
    index, total = given.store.index(SPLIT), given.store.rows(SPLIT)
    for start in range(0, total, BATCH):
        part = slice(start, min(start + BATCH, total))
        codes = given.truth.codes(SPLIT, Index(index.item[part], index.position[part]))
        yield Rows(given.store.read(SPLIT, given.site, part), codes.cpu() * length)


def _detect(
    sae: SAE, given: Feed, atoms: Tensor, features: Tensor, length: Tensor, found: Directions
) -> tuple[Counts, Tensor]:
    """Each latent as a detector of its target: counts over all rows, and AUROC over the first ones."""
    gain = (atoms * features[found.target]).sum(1)
    total, ranked = None, []
    for x, codes in true_rows(given, length):
        f = sae.encode(x)
        part = f * gain * _reach(sae, x, atoms)[:, None]
        some = count(part, f != 0, codes, found.target)
        total = some if total is None else add(total, some)
        if len(ranked) * BATCH < RANKED_ROWS:
            ranked.append((part, codes[:, found.target] != 0))
    assert total is not None
    return total, auroc(*(torch.cat(column) for column in zip(*ranked, strict=True)))


def _reach(sae: SAE, x: Tensor, atoms: Tensor) -> Tensor:
    """How long atoms are on each row, relative to `atoms`: 1, but where a row is normalised by itself. `[b]`"""
    longest = int(atoms.norm(dim=1).argmax())
    code = torch.zeros(len(x), sae.d_sae)
    nothing = sae.decode(code, x)
    code[:, longest] = 1
    return (sae.decode(code, x) - nothing) @ atoms[longest] / atoms[longest].square().sum()


def _oracle(given: Feed, features: Tensor, length: Tensor, d_sae: int) -> float:
    """The EV of the best `d_sae` true features with their true codes."""
    energy = torch.stack([codes.square().sum(0) for _, codes in true_rows(given, length)]).sum(0)
    kept = oracle.strongest(energy, d_sae)
    parts = [
        (oracle.spread(x), oracle.spread(x - oracle.ideal(codes, features, kept)))
        for x, codes in true_rows(given, length)
    ]
    x, residual = (_sum(column) for column in zip(*parts, strict=True))
    return oracle.oracle_ev(x, residual).item()


def _sum(spreads: tuple[oracle.Spread, ...]) -> oracle.Spread:
    return oracle.Spread(*(torch.stack(field).sum(0) for field in zip(*spreads, strict=True)))
