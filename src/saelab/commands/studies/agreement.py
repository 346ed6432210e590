"""Do SAEs of other variants, and of other seeds, learn the same dictionary?"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from saelab.analysis.agreement import agreement_scores, chance_agreement, decoder_agreement
from saelab.commands.studies.points import Point, Points, control, seed
from saelab.plots.read import Row, column, read_rows
from saelab.run import load_sae

CHANCE = 1_000_003  # seeds the random directions; with an SAE's own seed they would be the decoder it began with


def agreement(found: Points) -> list[dict[str, Any]]:
    """A row per pair of runs that differ in their seed alone, or in their model alone: Hungarian-matched decoders.

    Only living latents are matched. `chance` is the mean cosine of the first one's matched with random directions.
    Runs without weights are left out.
    """
    if not found.concepts:
        return []
    read: dict[str, tuple[Tensor, Tensor]] = {}
    rows = []
    for a, b, kind in pairs([p for p in found.all if not control(p.setting)]):
        for one, other in runs(a, b, kind):
            for row in (one, other):
                if row["run"] not in read:
                    read[row["run"]] = atoms(row)
            (A, alive_a), (B, alive_b) = read[one["run"]], read[other["run"]]
            if A.shape[1] != B.shape[1] or not len(A) or not len(B):
                continue
            scores = agreement_scores(decoder_agreement(A, B, alive_a=alive_a, alive_b=alive_b))
            chance = agreement_scores(chance_agreement(A, alive_a=alive_a, latents=int(alive_b.sum()), seed=CHANCE))
            names = {"kind": kind, "a": a.line, "b": b.line, "a_l0": a.l0, "b_l0": b.l0}
            runs_of = {"a_seed": seed(one), "b_seed": seed(other), "a_run": one["run"], "b_run": other["run"]}
            rows.append(names | runs_of | scores | {"chance": chance["mean_cos"]})
    return rows


def pairs(points: list[Point]) -> list[tuple[Point, Point, str]]:
    """Every setting with itself, for its seeds, and with those that differ in nothing but the model."""
    found = [(p, p, "seed") for p in points]
    for a, b in combinations(points, 2):
        differ = [key for key in a.setting.keys if a.setting.keys[key] != b.setting.keys[key]]
        if differ == ["model"]:
            found.append((a, b, "model"))
    return found


def runs(a: Point, b: Point, kind: str) -> list[tuple[Row, Row]]:
    """Of one setting all pairs of seeds; of two, equal seeds."""
    if kind == "seed":
        return list(combinations(a.setting.rows, 2))
    return [(one, other) for one in a.setting.rows for other in b.setting.rows if seed(one) == seed(other)]


def atoms(row: Row) -> tuple[Tensor, Tensor]:
    """Decoder rows of a run and which latents live on its test split; empty without weights."""
    path = Path(row["run"])
    density = path / "figures/density.csv"
    if not (path / "sae.safetensors").exists() or not density.exists():
        return torch.empty(0, 0), torch.empty(0, dtype=torch.bool)
    W = load_sae(path).W_dec.detach()
    return W, torch.from_numpy(column(read_rows(density), "density") > 0)
