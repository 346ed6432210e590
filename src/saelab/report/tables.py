"""A run's tables as a page shows them: rounded, in words where a number is missing."""

from __future__ import annotations

import math

from saelab.plots.read import Row, number
from saelab.report.facts import Facts
from saelab.report.words import figure, percent


def probe_rows(run: Facts) -> list[dict[str, str]]:
    """One line per family and features: the test split, and cross-validated accuracy."""
    whole = [row for row in run.probes if row["class"] == "all" and row.get("accuracy")]  # factors have an R² instead
    cv = {(row["family"], row["features"]): row for row in whole if row["split"] == "cv"}
    families = [row["family"] for row in whole]
    tested = [row for row in whole if row["split"] == "test"]
    lines = []
    for row in sorted(tested, key=lambda row: families.index(row["family"])):  # raw and codes of a family together
        line = {"family": row["family"], "features": {"raw": "raw activations"}.get(row["features"], row["features"])}
        line |= {
            "accuracy": percent(number(row["accuracy"])),
            "cv": folds(cv.get((row["family"], row["features"]), {})),
        }
        line |= {metric: figure(number(row[metric])) for metric in ("auc", "precision", "recall", "f1")}
        lines.append(line | {"n": row["n"]})
    return lines


def folds(row: Row) -> str:
    """Mean and standard deviation over folds, in per cent."""
    mean, std = 100 * number(row.get("accuracy")), 100 * number(row.get("accuracy_std"))
    return f"{figure(mean, 1)} ± {figure(std, 1)}"


def concept_rows(run: Facts) -> list[dict[str, str]]:
    """One line per concept: its best latent and what probes reach."""
    numbers = ("best_latent_auc", "probe_auc_codes", "probe_auc_raw", "probe_f1_codes", "probe_f1_raw")
    return [
        {name: row[name] for name in ("family", "concept", "n")}
        | {"best_latent": row["best_latent"] if number(row["best_latent"]) >= 0 else "none alive"}
        | {"density": percent(number(row["best_latent_density"]))}
        | {name: figure(number(row.get(name))) for name in numbers}
        | {"interval": interval(row), "found": found(row)}
        for row in run.concepts
    ]


def interval(row: Row) -> str:
    """The ends of the 95 % interval of the best AUC, where they were computed."""
    low, high = number(row.get("best_auc_low")), number(row.get("best_auc_high"))
    return "" if math.isnan(low) else f"{figure(low)}\N{EN DASH}{figure(high)}"


def found(row: Row) -> str:
    """Whether a latent stands for the concept alone, or detects it among others."""
    if "recovered" not in row:
        return ""
    return "recovered" if row["recovered"] == "1" else "detected" if row["detected"] == "1" else "no"


def factor_rows(run: Facts) -> list[dict[str, str]]:
    """One line per continuous factor: R² on the test split, from each feature matrix."""
    tested = [row for row in run.probes if row.get("r2") and row["split"] == "test" and row["class"] != "all"]
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in tested:
        line = lines.setdefault((row["family"], row["class"]), {"family": row["family"], "factor": row["class"]})
        line[row["features"]] = figure(number(row["r2"]))
    return list(lines.values())
