"""The settings that many runs are of, what tells them apart, and how their metrics are written."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from saelab.plots.read import Row, column, number

BESIDES = ("job", "status", "run", "name", "wall_s")
SHOWN = (
    *("test/ev", "test/l0", "matched/ev", "matched/ratio", "test/dead"),
    *("test/loss_recovered", "test/acc_recovered", "test/acc", "test/loss"),
    *("separation/test/score", "separation/test_unseen/score"),
    *("truth/mcc", "truth/f1", "truth/precision", "truth/recall", "truth/uniqueness", "truth/found", "truth/shrinkage"),
)
TITLES = {
    "test/ev": "Explained variance",
    "test/l0": "Active latents per row",
    "test/acc_recovered": "Accuracy recovered when spliced",
    "test/loss_recovered": "Loss recovered when spliced",
    "test/dead": "Dead latents",
    "test/acc": "Test accuracy",
    "test/loss": "Test loss",
    "matched/ev": "BatchTopK's at that L0",
    "matched/ratio": "Ratio of the two",
    "truth/mcc": "Matched cosine (MCC)",
    "truth/f1": "F1 as detectors",
    "truth/precision": "Precision",
    "truth/recall": "Recall",
    "truth/uniqueness": "Uniqueness",
    "truth/found": "True features found",
    "truth/shrinkage": "Amplitude kept",
    "separation/test/score": "SDR of the parts, dB",
    "separation/test_unseen/score": "SDR of the parts, unseen tags, dB",
    "truth/dense_r2": "R² of z from the dense code",
    "truth/z_in_sparse": "R² of z from the sparse code",
    "truth/s_in_sparse": "R² of s from the sparse code",
}
OF_CONCEPTS = {
    "recovered": "{} concepts recovered",
    "detected": "{} concepts detected",
    "selective": "Latents selective for a {}",
    "mean_best_auc": "Mean best AUC of latents ({})",
    "coverage": "{} concepts that are a latent's best",
    "redundancy": "Latents of the most frequent {}",
    "entropy": "Entropy of best {}s, nats",
    "W_enc_stable_rank": "Stable rank of the encoder",
    "W_dec_stable_rank": "Stable rank of the decoder",
    "shared_neurons": "Latents shared by two concepts",
}
COUNTS = ("recovered", "detected", "coverage", "redundancy", "shared_neurons")
SHARES = ("ev", "dead", "acc", "f1", "auc", "r2", "precision", "recall", "uniqueness", "found", "selective")


class Scale(NamedTuple):
    """How a metric is written, and the difference below which an axis would show noise."""

    factor: float
    unit: str
    digits: tuple[int, int]  # decimals of a mean ± std: at least, at most
    resolution: float  # of the metric where `relative` is false, else of its mean
    relative: bool = False


SHARE = Scale(100, "\N{NO-BREAK SPACE}%", (1, 3), 0.02)
PER_ROW = Scale(1, "", (0, 1), 0.1, relative=True)
PLAIN = Scale(1, "", (3, 5), 0.1, relative=True)


class Setting(NamedTuple):
    """The runs that differ in nothing but their seed."""

    keys: Row
    rows: list[Row]

    def values(self, metric: str) -> np.ndarray:
        values = column(self.rows, metric)
        return values[np.isfinite(values)]

    def mean(self, metric: str) -> float:
        return float(np.mean(self.values(metric))) if len(self.values(metric)) else math.nan

    def std(self, metric: str) -> float:
        """Sample standard deviation, nan for fewer than two runs."""
        return float(np.std(self.values(metric), ddof=1)) if len(self.values(metric)) > 1 else math.nan

    def told(self, metric: str) -> str:
        """97.38 ± 0.01 %: the spread to one significant digit, and the mean to as many decimals."""
        scale, std = scale_of(metric), self.std(metric)
        least, most = scale.digits
        std = 0.0 if math.isnan(std) else scale.factor * std
        needed = -math.floor(math.log10(float(f"{std:.0e}"))) if std > 0 else least
        digits = max(least, needed) if needed <= most else least
        mean = f"{scale.factor * round(self.mean(metric), 12):.{digits}f}"
        return f"{mean} ± {std:.{digits}f}{scale.unit}" if len(self.values(metric)) > 1 else mean + scale.unit


def scale_of(metric: str) -> Scale:
    kind = metric.rpartition("/")[2]
    share = kind in SHARES or kind.endswith(("_acc", "_recovered", "_ev"))
    few = kind == "l0" or kind in COUNTS or kind.endswith("_rank")
    return SHARE if share else PER_ROW if few else PLAIN


def written(metric: str) -> Any:
    """A formatter of ticks in the metric's unit."""
    scale = scale_of(metric)
    return lambda value, _: f"{scale.factor * value:.6g}{scale.unit}"


def headlines(rows: list[Row]) -> list[str]:
    """The metrics worth a column: the main ones, concepts recovered and detected, the accuracies of probes."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    concepts = [m for m in names if m.startswith("concepts/") and m.endswith(("/recovered", "/detected"))]
    probed = [m for m in names if m.startswith("probe/") and m.endswith("/acc")]
    return [m for m in SHOWN if m in names] + concepts + probed


def varied(rows: list[Row]) -> list[str]:
    """The override columns in which runs differ, seeds included."""
    names = [name for name in (rows[0] if rows else {}) if "/" not in name and name not in BESIDES]
    return [name for name in names if len({row[name] for row in rows}) > 1]


def by_setting(rows: list[Row]) -> list[Setting]:
    """Runs grouped by everything that they differ in but seeds, in their order."""
    names = [name for name in varied(rows) if not name.endswith("seed")]
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return [Setting(dict(zip(names, key, strict=True)), ours) for key, ours in found.items()]


def repeat(settings: list[Setting]) -> str:
    """What the runs of one setting are called: seeds where they differ in it, else runs; empty if none repeats."""
    repeated = [setting for setting in settings if len(setting.rows) > 1]
    return "seed" if any(varied(s.rows) for s in repeated) else "run" if repeated else ""


def roles(settings: list[Setting]) -> tuple[list[str], list[str]]:
    """Which keys tell the lines apart, and which order the points along a line (several if each run has only one)."""
    kinds: dict[str, list[str]] = {}
    for name in settings[0].keys:
        ours = [setting.keys[name] for setting in settings]
        if not any(same_split(ours, other) for other in kinds.values()):
            kinds[name] = ours
    text = [name for name, cells in kinds.items() if any(cell and not np.isfinite(number(cell)) for cell in cells)]
    numeric = sorted((name for name in kinds if name not in text), key=lambda name: -len(set(kinds[name])))
    value = numeric[:1]
    for name in numeric[1:]:
        if all(sum(bool(s.keys[n]) for n in (*value, name)) <= 1 for s in settings):
            value.append(name)
    return [name for name in kinds if name not in value], value


def same_split(a: list[str], b: list[str]) -> bool:
    """Whether two columns always change together."""
    return len(set(a)) == len(set(b)) == len(set(zip(a, b, strict=True)))


def title(metric: str) -> str:
    if metric.startswith("probe/") and metric.count("/") == 3:
        _, features, family, kind = metric.split("/")
        return f"Probed {'accuracy' if kind == 'acc' else kind} of {family} ({features})"
    if metric.startswith("concepts/") and (words := OF_CONCEPTS.get(metric.rpartition("/")[2])):
        told = words.format(metric.split("/")[1])
        return told[0].upper() + told[1:]
    return TITLES.get(metric, metric)
