"""A gallery: for each concept, the inputs that most activate its best latent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from saelab.plots.read import read_arrays
from saelab.plots.style import MUTED, ORANGE, WIDTH, placed, sheet, styled

SIDE = 0.665  # of an image, in inches; all else in sides
WIDE, HEAD, LINE = WIDTH / SIDE - 0.1, 2.2, 0.3  # of the figure, of the words at the left, of the line below an image


@styled
def latents(run: Path, *, most: int = 20) -> Figure:
    """From `figures/latents.npz`: one row a concept, strongest first; inputs of another class are framed."""
    data = read_arrays(run / "figures/latents.npz")
    shown = np.arange(len(data["concept"]))
    if len(shown) > most:  # the clearest ones, in their order
        shown = np.sort(np.argsort(-data["auc"], kind="stable")[:most])
    k = data["value"].shape[1]
    tall, cell = (1 + LINE) * len(shown), min(1.3, (WIDE - HEAD) / k)
    figure, ax = sheet(SIDE * tall + 0.3, (0, WIDE), (tall, 0))
    for row, i in enumerate(shown):
        top = row * (1 + LINE)
        family, _, concept = str(data["concept"][i]).rpartition(": ")
        ax.text(0, top + 0.34, concept, fontsize=13, weight="bold", va="center")
        ax.text(0, top + 0.66, f"{family}  latent {data['latent'][i]}".strip(), fontsize=8.5, color=MUTED, va="center")
        ax.text(0, top + 0.87, f"AUC {data['auc'][i]:.3f}", fontsize=8.5, color=MUTED, va="center")
        for j in np.flatnonzero(data["value"][i] > 0):
            label = str(data["label"][i, j])
            other = label not in ("", concept)
            left = HEAD + j * cell
            placed(ax, data["images"][i, j], left, top, color=ORANGE if other else None)
            text = f"{data['value'][i, j]:.2f}" + (f"  ({label})" if other else "")
            color = ORANGE if other else MUTED
            ax.text(left + 0.5, top + 1.05, text, fontsize=7.5, color=color, ha="center", va="top")
    left_out = len(data["concept"]) - len(shown)
    note = "activation below each input; another class than the row's is framed"
    note += f"; {left_out} concepts with a lower AUC are left out" * bool(left_out)
    figure.suptitle(note, x=0.995, ha="right", fontsize=8.5, color=MUTED)
    return figure
