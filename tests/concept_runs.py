"""Sweeps as multiruns leave them, of made-up runs whose concepts are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from saelab.analysis.save import write_csv

DIGITS = {"digit": tuple("01234")}
BOTH = DIGITS | {"tag": tuple("abcd")}


def job(
    keys: Mapping[str, Any], l0: float, recovered: Mapping[str, Iterable[str]], *, ev: float = 0.9, **more: float
) -> dict[str, Any]:
    """A run: its overrides, its L0, the concepts that it recovers by family, further metrics."""
    return {"keys": keys, "l0": l0, "recovered": {k: set(v) for k, v in recovered.items()}, "ev": ev, "more": more}


def sweep(folder: Path, jobs: list[dict[str, Any]], families: Mapping[str, tuple[str, ...]] = DIGITS) -> Path:
    """`sweep.csv` and the runs' `concepts.csv`; a concept that is recovered is detected and has a best AUC of 0.99."""
    rows = []
    for number, made in enumerate(jobs):
        path = folder / f"{number:03d}"
        concepts, metrics = [], {"test/ev": made["ev"], "test/l0": made["l0"], "test/dead": 0.1}
        for family, names in families.items():
            kept = made["recovered"].get(family, set())
            metrics |= {f"concepts/{family}/recovered": len(kept), f"concepts/{family}/detected": len(kept)}
            for name in names:
                on = int(name in kept)
                cells = {"family": family, "concept": name, "n": 50, "recovered": on, "detected": on}
                concepts.append(cells | {"best_auc": 0.99 if on else 0.8})
        write_csv(path / "figures/concepts.csv", concepts)
        head = {"job": path.name, **made["keys"], "status": "finished", "wall_s": 1.0}
        rows.append(head | metrics | made["more"] | {"run": str(path)})
    return write_csv(folder / "sweep.csv", rows)


def by_k(kept: Mapping[int, str], *, seeds: int = 3, **keys: Any) -> list[dict[str, Any]]:
    """A TopK line over k: at each k the digits that every seed recovers; L0 is k, with a little of the seed."""
    return [
        job({**keys, "model.sae.k": k, "seed": s}, k * (1 + 0.01 * s), {"digit": names}, ev=1 - 0.5 / k + 0.001 * s)
        for k, names in kept.items()
        for s in range(seeds)
    ]
