"""A concept that was kept from one SAE for a while, beside the others of its family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from saelab.plots.read import Row, number, read_rows
from saelab.plots.style import BLUE, ORANGE, names_above, new, styled

FILE = "figures/ablation.csv"
PANELS = {
    "best_auc": "AUC of the best latent",
    "probe_auc": "AUC of a probe on all codes",
    "ev": "Variance explained of its own rows",
}


@styled
def ablation_run(run: Path) -> Figure:
    """From `figures/ablation.csv`: before, after and at the end, a line per concept, the target's in front."""
    rows = read_rows(run / FILE)
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    figure = new(2.9)
    axes = figure.subplots(1, len(PANELS))
    for ax, (measure, heading) in zip(axes, PANELS.items(), strict=True):
        for name in dict.fromkeys(row["concept"] for row in sorted(rows, key=lambda row: row["target"])):
            values, on = course(rows, name, measure, phases)
            ax.plot(values, "o-", color=ORANGE if on else BLUE, alpha=1 if on else 0.35, linewidth=2.2 if on else 1)
        ax.set_title(heading + "\n", fontsize=9.5)
        ax.set_xticks(range(len(phases)), [f"{p}\nstep {step(rows, p)}" for p in phases])
        ax.set_xlim(-0.2, len(phases) - 0.8)
    target = next(row for row in rows if row["target"] == "1")
    names_above(axes[0], [(f"{target['family']} {target['concept']}", ORANGE), ("the others", BLUE)])
    return figure


def course(rows: list[Row], name: str, measure: str, phases: list[str]) -> tuple[np.ndarray, bool]:
    """A concept's values over the phases, and whether it is the target."""
    ours = {row["phase"]: row for row in rows if row["concept"] == name}
    return np.array([number(ours[phase][measure]) for phase in phases]), ours[phases[0]]["target"] == "1"


def step(rows: list[Row], phase: str) -> str:
    return f"{int(next(row['step'] for row in rows if row['phase'] == phase)):,}"
