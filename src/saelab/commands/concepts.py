"""Which concepts latents stand for, once an SAE is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from saelab.analysis.concept_scores import Scored, concept_metrics, recovery_rows, score_arrays, shared_latents
from saelab.analysis.ranks import weight_ranks
from saelab.analysis.save import write_npz
from saelab.run import Run
from saelab.sae import SAE

Metrics = dict[str, float]


@torch.no_grad()
def examine_concepts(
    run: Run, sae: SAE, scored: Mapping[str, Scored], options: DictConfig
) -> tuple[Metrics, list[dict[str, Any]]]:
    """Write `figures/concept_scores.npz`; give the `concepts/` metrics, and per concept what `recovery_rows` says.

    A metric that is not defined, as where no latent lives, is left out.
    """
    write_npz(run.path / "figures" / "concept_scores.npz", score_arrays(scored))
    thresholds = {"selective": options.selective, "pure": options.pure}
    metrics = concept_metrics(scored, **thresholds)
    if options.ranks:
        for name in ("W_enc", "W_dec"):
            weight = getattr(sae, name, None)
            if weight is not None:  # not every variant encodes by a matrix
                metrics[f"{name}_stable_rank"] = weight_ranks(weight)["stable_rank"]
    if options.paths:
        metrics["shared_neurons"] = shared_latents(scored, top_k=options.top_k)
    found = {f"concepts/{name}": value for name, value in metrics.items() if not math.isnan(value)}
    return found, recovery_rows(scored, **thresholds, resamples=options.resamples)
