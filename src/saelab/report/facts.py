"""What a run directory says about itself, read once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from saelab.plots.read import Row, number, read_json, read_rows

UNFINISHED = ("interrupted", "failed")


class Facts(NamedTuple):
    """A run's files as plain data; what is missing is empty."""

    path: Path
    info: dict[str, Any]
    config: dict[str, Any]
    config_text: str
    metrics: dict[str, float]
    latents: list[Row]
    concepts: list[Row]
    probes: list[Row]
    confusion: list[Row]
    dynamics: list[Row]
    looks: list[Row]  # the steps at which dynamics were looked at
    ablation: list[Row]

    @property
    def unfinished(self) -> bool:
        return self.info.get("status") in UNFINISHED

    def get(self, metric: str) -> float:
        """A final metric, nan if there is none."""
        return number(self.metrics.get(metric))


def facts(run: Path) -> Facts:
    """Read `run.json`, `config.yaml`, the metrics and the tables; without final metrics, the last validated ones."""
    if not (run / "run.json").exists():
        raise ValueError(f"{run} is not a run: it has no run.json. Give the directory that a command wrote.")
    text = (run / "config.yaml").read_text(encoding="utf-8") if (run / "config.yaml").exists() else ""
    return Facts(
        path=run,
        info=read_json(run / "run.json"),
        config=yaml.safe_load(text) or {},
        config_text=text,
        metrics=final_metrics(run),
        latents=table(run / "figures/density.csv"),
        concepts=table(run / "figures/concepts.csv"),
        probes=table(run / "figures/probes.csv"),
        confusion=table(run / "figures/confusion.csv"),
        dynamics=table(run / "figures/concept_dynamics.csv"),
        looks=table(run / "figures/concept_dynamics_summary.csv"),
        ablation=table(run / "figures/ablation.csv"),
    )


def final_metrics(run: Path) -> dict[str, float]:
    """`metrics.json`; for a run that was stopped, the last validation under the same names."""
    if (run / "metrics.json").exists():
        return {name: number(value) for name, value in read_json(run / "metrics.json").items()}
    last: dict[str, float] = {}
    for row in table(run / "metrics.csv"):
        validated = {name.replace("val/", "test/"): number(v) for name, v in row.items() if name.startswith("val/")}
        last |= {name: value for name, value in validated.items() if not math.isnan(value)}
    return last


def table(path: Path) -> list[Row]:
    return read_rows(path) if path.exists() else []
