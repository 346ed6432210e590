"""What a classifier takes for what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from saelab.plots.read import number, read_rows
from saelab.plots.style import FAINT, INK, MUTED, ORANGE, PAPER, new, styled

ERRORS = LinearSegmentedColormap.from_list("errors", [PAPER, "#f6c9a8", ORANGE])


@styled
def confusion(run: Path) -> Figure:
    """From `figures/confusion.csv`: the diagonal in grey, errors coloured by their share of the true class."""
    rows = read_rows(run / "figures/confusion.csv")
    names = [name for name in rows[0] if name != "true"]
    counts = np.array([[number(row[name]) for name in names] for row in rows])
    share = counts / counts.sum(1, keepdims=True).clip(min=1)
    errors = share * (1 - np.eye(len(names)))
    side = min(6.5, 0.4 * len(names) + 1.0)
    figure = new(side, width=side + 0.4)
    ax = figure.subplots()
    ax.imshow(errors, cmap=ERRORS, vmin=0, vmax=max(0.02, float(errors.max())))
    for i in range(len(names)):
        ax.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, facecolor=FAINT, edgecolor="none"))
    if len(names) <= 20:
        for i, j in np.argwhere(counts > 0):
            color = INK if i == j or share[i, j] < 0.7 * errors.max() else PAPER
            weight = "bold" if i == j else "normal"
            ax.text(j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=8.5, color=color, weight=weight)
        ax.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names)) < 4 else 40)
        ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False)
    ax.tick_params(labelcolor=INK)
    ax.set(xlabel="predicted", ylabel="true")
    right = float(np.trace(counts) / max(counts.sum(), 1))
    ax.set_title(f"{100 * right:.1f} % of {counts.sum():,.0f} right", color=INK)
    for spine in ax.spines.values():
        spine.set(visible=True, color=MUTED)
    return figure
