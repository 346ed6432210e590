"""Which metrics a study compares, and the interval of a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import false_discovery_control
from scipy.stats import t as student

from saelab.analysis.intervals import student_t

OF_A_FAMILY = ("recovered", "detected", "selective", "mean_best_auc", "coverage", "redundancy", "entropy")
OF_ALL = (
    *("test/ev", "test/dead", "test/acc_recovered"),
    *("concepts/W_enc_stable_rank", "concepts/W_dec_stable_rank", "concepts/shared_neurons"),
)


def measures(metrics: Sequence[str]) -> list[str]:
    """Those of the metrics that are compared: concepts of each family, reconstruction, death, ranks, probes."""
    families = dict.fromkeys(m.split("/")[1] for m in metrics if m.startswith("concepts/") and m.count("/") == 2)
    names = [f"concepts/{family}/{kind}" for family in families for kind in OF_A_FAMILY]
    probes = [m for m in metrics if m.startswith("probe/codes/") and m.endswith("/acc")]
    return [name for name in (*names, *OF_ALL, *probes) if name in metrics]


def interval(values: Sequence[float]) -> dict[str, float]:
    """Mean of the finite values, its 95 % interval by Student's t, and how many they are."""
    known = [float(v) for v in values if math.isfinite(v)]
    if len(known) < 2:
        return {"mean": known[0] if known else math.nan, "low": math.nan, "high": math.nan, "n": len(known)}
    mean, low, high = student_t(torch.tensor(known, dtype=torch.float64))
    return {"mean": float(mean), "low": float(low), "high": float(high), "n": len(known)}


def against_zero(differences: Sequence[float]) -> dict[str, float]:
    """`interval`, and p of a mean of zero: two-sided t-test, nan for fewer than two.

    Where all differences are equal the t-test has no spread to go by: then the sign test, p = 2^(1 - n), 1 if all are
    zero.
    """
    told = interval(differences)
    known = np.array([v for v in differences if math.isfinite(v)])
    if len(known) < 2:
        return told | {"p": math.nan}
    if np.ptp(known) <= 1e-12 * np.abs(known).max(initial=1e-300):
        return told | {"p": 2.0 ** (1 - len(known)) if known[0] else 1.0}
    t = abs(told["mean"]) / (known.std(ddof=1) / len(known) ** 0.5)
    return told | {"p": float(2 * student.sf(t, len(known) - 1))}


def with_q(rows: list[dict]) -> list[dict]:
    """Each row's `p` with the false discovery rate controlled over all rows (Benjamini & Hochberg 1995), as `q`."""
    some = [row for row in rows if math.isfinite(row["p"])]
    q = false_discovery_control([row["p"] for row in some]) if some else []
    found = {id(row): float(value) for row, value in zip(some, q, strict=True)}
    return [row | {"q": found.get(id(row), math.nan)} for row in rows]
