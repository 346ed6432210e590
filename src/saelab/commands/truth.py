"""An SAE beside the true features, where a source or an array gives them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from saelab.analysis import oracle
from saelab.analysis.atoms import atoms_of, parts_of, reach
from saelab.analysis.matched import matched, matched_scores
from saelab.analysis.save import write_csv
from saelab.analysis.streams import Parts
from saelab.analysis.truth import Counts, add, auroc, cosines, count, random_atoms
from saelab.analysis.truth_table import (
    Directions,
    detection_scores,
    detection_table,
    direction_scores,
    directions,
    directions_table,
    rows_of,
)
from saelab.commands.feed import Feed
from saelab.commands.galleries import SPLIT
from saelab.commands.streams import Sample, examine_streams
from saelab.run import Run
from saelab.sae import SAE
from saelab.store import Index

BATCH = 2048
RANKED_ROWS = 20_000  # of which all codes are held at once, to be ranked and regressed

Metrics = dict[str, float]


@torch.no_grad()
def examine_truth(run: Run, sae: SAE, given: Feed, density: Tensor) -> Metrics:
    """Write what is known of a truth, and give the `truth/` metrics; nothing without one.

    `figures/truth.csv` has a row per latent. Where true codes are known, `features.csv` has one per true feature, on
    the second half of the first rows; where the dense part is known too, see `examine_streams`.
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
        scores |= _features(run, sae, given, atoms, features, length, found)
    write_csv(run.path / "figures" / "truth.csv", table)
    return {f"truth/{name}": value for name, value in scores.items() if not math.isnan(value)}


class Rows(NamedTuple):
    """Rows of the split with their true codes, of features of norm one, and the dense ones, of no width if unknown."""

    x: Tensor
    codes: Tensor
    dense: Tensor


def true_rows(given: Feed, length: Tensor) -> Iterator[Rows]:
    """The whole split, some rows at a time."""
    assert given.truth is not None and given.truth.codes is not None
    index, total = given.store.index(SPLIT), given.store.rows(SPLIT)
    for start in range(0, total, BATCH):
        part = slice(start, min(start + BATCH, total))
        where = Index(index.item[part], index.position[part])
        codes = given.truth.codes(SPLIT, where).cpu() * length
        dense = codes[:, :0] if given.truth.dense is None else given.truth.dense(SPLIT, where).cpu()
        yield Rows(given.store.read(SPLIT, given.site, part), codes, dense)


def _detect(
    sae: SAE, given: Feed, atoms: Tensor, features: Tensor, length: Tensor, found: Directions
) -> tuple[Counts, Tensor]:
    """Each latent as a detector of its target: counts over all rows, and AUROC over the first ones."""
    gain = (atoms * features[found.target]).sum(1)
    total, ranked = None, []
    for x, codes, _ in true_rows(given, length):
        f = sae.encode(x)
        part = f * gain * reach(sae, x, atoms)[:, None]
        some = count(part, f != 0, codes, found.target)
        total = some if total is None else add(total, some)
        if len(ranked) * BATCH < RANKED_ROWS:
            ranked.append((part, codes[:, found.target] != 0))
    assert total is not None
    return total, auroc(*(torch.cat(column) for column in zip(*ranked, strict=True)))


def _features(
    run: Run, sae: SAE, given: Feed, atoms: Tensor, features: Tensor, length: Tensor, found: Directions
) -> Metrics:
    """Write `figures/features.csv`; the scores of features' partners, and of the streams where both are known."""
    assert given.truth is not None
    some = islice(true_rows(given, length), max(1, RANKED_ROWS // BATCH))
    parts = [(rows, parts_of(sae, rows.x, atoms)) for rows in some]
    x, s, z = (torch.cat(column) for column in zip(*(rows for rows, _ in parts), strict=True))
    f, h, dense = (torch.cat([getattr(p, name) for _, p in parts]) for name in ("f", "h", "dense"))
    fit = torch.arange(len(x)) < len(x) // 2
    pairs = matched(f[~fit], s[~fit], found.cos, found.own)
    columns = {"feature": torch.arange(len(features)), **pairs._asdict()}
    write_csv(run.path / "figures" / "features.csv", rows_of(columns))
    by_chance = cosines(random_atoms(*atoms.shape), features).abs().amax(0).mean().item()
    scores = matched_scores(pairs) | {"chance_best_cos": by_chance}
    if given.truth.basis is None:
        return scores
    true = Parts(s, z, features, z @ given.truth.basis)
    sample = Sample(x, true, given.truth.basis, fit)
    return scores | examine_streams(run, given, sample, Parts(f, h, atoms, dense))


def _oracle(given: Feed, features: Tensor, length: Tensor, d_sae: int) -> float:
    """The EV of the best `d_sae` true features with their true codes, and of the dense part where it is known."""
    energy = torch.stack([rows.codes.square().sum(0) for rows in true_rows(given, length)]).sum(0)
    kept = oracle.strongest(energy, d_sae)
    parts = []
    for x, codes, z in true_rows(given, length):
        dense = z @ given.truth.basis if given.truth is not None and given.truth.basis is not None else 0
        parts.append((oracle.spread(x), oracle.spread(x - oracle.ideal(codes, features, kept) - dense)))
    x, residual = (_sum(column) for column in zip(*parts, strict=True))
    return oracle.oracle_ev(x, residual).item()


def _sum(spreads: tuple[oracle.Spread, ...]) -> oracle.Spread:
    return oracle.Spread(*(torch.stack(field).sum(0) for field in zip(*spreads, strict=True)))
