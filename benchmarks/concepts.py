"""How fast concepts are scored, beside a loop of scikit-learn's logistic regressions on one latent each.

    python benchmarks/concepts.py

2,048 latents, 10 concepts, 10,000 rows of which 8,000 train. Codes of two densities: 32 non-zero of a row (as TopK
has), and half of all (as an untrained ReLU has). The loop standardises a latent, fits a balanced regression and takes
both AUCs, which is how one-feature AUCs are often had; it is measured on a sample of latents, all concepts each, and
extrapolated to all latents. So is the time of our 10-way probes on single latents. Everything uses one thread. Writes
`benchmarks/results/concepts.json`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from saelab.analysis.concepts import univariate
from saelab.analysis.resampled import selectivity_intervals
from saelab.analysis.single_latent import single_latent_probes

LATENTS, CONCEPTS, ROWS, TRAIN, L0 = 2048, 10, 10_000, 8_000, 32
SAMPLE, ROUNDS, RESAMPLES, FOLDS = 24, 5, 20, 3


def codes(y: Tensor, density: float) -> Tensor:
    """Codes that differ between classes, each latent non-zero on as many rows."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, LATENTS, generator=g) + 0.7 * torch.randn(CONCEPTS, LATENTS, generator=g)[y]
    return (x - x.kthvalue(round(ROWS * (1 - density)), dim=0).values).relu()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def loop(f: Tensor, onehot: Tensor, train: Tensor) -> Tensor:
    """Held-out AUC `[s, c]`, one regression at a time; nan where it stopped before its first step, with slope 0."""
    found = torch.empty(f.shape[1], onehot.shape[1], dtype=torch.float64)
    kept, held_out = train.numpy(), (~train).numpy()
    for i, column in enumerate(f.T):
        for c, target in enumerate(onehot.T.numpy()):
            x = column.double().numpy()[:, None]
            scaler = StandardScaler().fit(x[kept])
            model = LogisticRegression(class_weight="balanced", max_iter=1000)
            model.fit(scaler.transform(x[kept]), target[kept])
            roc_auc_score(target[kept], model.decision_function(scaler.transform(x[kept])))
            area = roc_auc_score(target[held_out], model.decision_function(scaler.transform(x[held_out])))
            found[i, c] = area if model.coef_.item() else torch.nan
    return found


def measure(f: Tensor, y: Tensor) -> dict[str, Any]:
    onehot, train = F.one_hot(y, CONCEPTS).bool(), torch.arange(ROWS) < TRAIN
    scores = univariate(f, onehot, train=train, by="mean")  # and warms up
    ours = statistics.median(seconds(lambda: univariate(f, onehot, train=train)) for _ in range(ROUNDS))
    sample = torch.arange(0, LATENTS, LATENTS // SAMPLE)[:SAMPLE]
    start = time.perf_counter()
    expected = loop(f[:, sample], onehot, train)
    theirs = (time.perf_counter() - start) / SAMPLE * LATENTS
    part = torch.where(train, torch.arange(ROWS) % FOLDS, FOLDS)
    return {
        "density": float((f != 0).double().mean()),
        "seconds": ours,
        "loop_seconds_extrapolated": theirs,
        "times_faster": theirs / ours,
        "largest_difference_on_the_sample": float((scores.test[sample] - expected).abs().nan_to_num().max()),
        "seconds_per_resample": seconds(
            lambda: selectivity_intervals(scores, f, onehot, train=train, times=RESAMPLES)
        ) / RESAMPLES,
        "probe_seconds_extrapolated": seconds(
            lambda: single_latent_probes(f[:, sample], y, classes=CONCEPTS, part=part, folds=FOLDS)
        ) / SAMPLE * LATENTS,
    }  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    y = torch.randint(CONCEPTS, (ROWS,), generator=torch.Generator().manual_seed(1))
    kinds = {f"{L0} of {LATENTS} non-zero": L0 / LATENTS, "half non-zero": 0.5}
    results = {name: measure(codes(y, density), y) for name, density in kinds.items()}
    size = f"{LATENTS:,} latents x {CONCEPTS} concepts x {ROWS:,} rows"
    table = Table("codes", "AUCs, s", "loop, s", "times", "differ by", "a resample, s", "probes, s", title=size)
    for name, row in results.items():
        _, ours, theirs, times, differ, resample, probes = row.values()
        table.add_row(
            name, f"{ours:.2f}", f"{theirs:.0f}", f"{times:.0f}", f"{differ:.1e}", f"{resample:.3f}", f"{probes:.1f}"
        )
    Console(width=120).print(table)
    print(
        f"The loop was measured on {SAMPLE} latents with all {CONCEPTS} concepts, and extrapolated, as the probes were."
    )
    out = Path(__file__).parent / "results/concepts.json"
    facts = {"latents": LATENTS, "concepts": CONCEPTS, "rows": ROWS, "train": TRAIN, "loop_latents_measured": SAMPLE}
    machine = {"cores": os.cpu_count(), "threads": 1, "machine": platform.machine(), "torch": torch.__version__}
    out.write_text(json.dumps({**facts, **machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
