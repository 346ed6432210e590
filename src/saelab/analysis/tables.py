"""The tables behind a report's figures, computed from tensors: density, concepts, confusion, probe headlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saelab.analysis.concept_scores import Scored
from saelab.analysis.concepts import best_latents
from saelab.data.source import Family

Row = dict[str, Any]


def density_table(
    *, density: Float[Tensor, " s"], mean_active: Float[Tensor, " s"], decoder_norm: Float[Tensor, " s"]
) -> list[Row]:
    """Per latent: how often it fires, its mean over the rows where it fires, the norm of its decoder row."""
    columns = (density.tolist(), mean_active.tolist(), decoder_norm.tolist())
    return [
        {"latent": i, "density": d, "mean_active": a, "decoder_norm": w}
        for i, (d, a, w) in enumerate(zip(*columns, strict=True))
    ]


def code_statistics(codes: Float[Tensor, "n s"]) -> tuple[Float[Tensor, " s"], Float[Tensor, " s"]]:
    """Density and mean where active (0 for a dead latent) of codes that fit in memory."""
    fired = (codes != 0).sum(0)
    return fired.double() / len(codes), codes.sum(0).double() / fired.clamp(min=1)


def concepts_table(scored: Mapping[str, Scored], *, probe_rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Row]:
    """Per concept: its best latent, scored on held-out rows, beside what linear probes reach.

    The best latent is one that is more active on the concept, chosen on half of the labelled rows and scored on the
    other half. `probe_rows` holds the probes' rows by features (`raw`, `codes`), of which the test split is taken.
    """
    probed = {
        (features, row["family"], row["class"]): row
        for features, rows in probe_rows.items()
        for row in rows
        if row["split"] == "test"
    }
    table = []
    for family, s in scored.items():
        best = best_latents(s.scores, positive_only=True)
        for c, concept in enumerate(s.classes):
            row: Row = {"family": family, "concept": concept, "n": int(s.onehot[:, c].sum())}
            row |= {"best_latent": int(best.latent[c]), "best_latent_auc": float(best.auc[c])}
            row |= {"best_latent_density": float(best.density[c])}
            for metric in ("auc", "f1"):
                for features in probe_rows:
                    row[f"probe_{metric}_{features}"] = probed.get((features, family, concept), {}).get(metric, "")
            table.append(row)
    return table


def class_families(families: Mapping[str, Family]) -> dict[str, tuple[str, ...]]:
    """The families that name classes; continuous factors have no concepts to detect."""
    return {name: family.classes for name, family in families.items() if family.classes}


def confusion_table(*, predicted: Int[Tensor, " n"], target: Int[Tensor, " n"], classes: Sequence[str]) -> list[Row]:
    """One row per true class, one column per predicted class, counts in the cells."""
    c = len(classes)
    counts = torch.bincount(target.long() * c + predicted.long(), minlength=c * c).reshape(c, c).tolist()
    return [{"true": name} | dict(zip(classes, row, strict=True)) for name, row in zip(classes, counts, strict=True)]


def probe_table(probe_rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Row]:
    """Probe rows of several feature matrices, with the name of the features in front."""
    return [{"features": features} | dict(row) for features, rows in probe_rows.items() for row in rows]


def probe_metrics(probe_rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, float]:
    """The headline numbers `probe/<features>/<family>/acc` (test split) and `.../f1`; `.../r2` for factors."""
    metrics = {}
    for features, rows in probe_rows.items():
        for row in rows:
            if row["class"] == "all" and row["split"] == "test":
                for key, metric in (("acc", "accuracy"), ("f1", "f1"), ("r2", "r2")):
                    if metric in row:
                        metrics[f"probe/{features}/{row['family']}/{key}"] = float(row[metric])
    return metrics
