"""A gallery: for each concept, the inputs that most activate its best latent."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from saelab.plots.read import read_arrays
from saelab.plots.style import MUTED, ORANGE, frame, new, picture, styled


@styled
def latents(run: Path, *, most: int = 20) -> Figure:
    """From `figures/latents.npz`: one row a concept, strongest first; inputs of another class are framed."""
    data = read_arrays(run / "figures/latents.npz")
    shown = np.arange(len(data["concept"]))
    if len(shown) > most:  # the clearest ones, in their order
        shown = np.sort(np.argsort(-data["auc"], kind="stable")[:most])
    k = data["value"].shape[1]
    figure = new(0.86 * len(shown) + 0.35)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.04, wspace=0, hspace=0)  # type: ignore[union-attr]
    with mpl.rc_context({"axes.grid": False}):  # nor ticks to hang it on, which take a third of the time
        grid = figure.subplots(len(shown), k + 1, width_ratios=[1.7] + [1] * k, squeeze=False)
    for axes, i in zip(grid, shown, strict=True):
        family, _, concept = str(data["concept"][i]).rpartition(": ")
        axes[0].axis("off")
        axes[0].text(0, 0.66, concept, fontsize=13, weight="bold", va="center")
        axes[0].text(0, 0.34, f"{family}  latent {data['latent'][i]}".strip(), fontsize=8.5, color=MUTED, va="center")
        axes[0].text(0, 0.13, f"AUC {data['auc'][i]:.3f}", fontsize=8.5, color=MUTED, va="center")
        for j, ax in enumerate(axes[1:]):
            if data["value"][i, j] <= 0:
                ax.axis("off")
                continue
            picture(ax, data["images"][i, j])
            label = str(data["label"][i, j])
            other = label not in ("", concept)
            if other:
                frame(ax, ORANGE)
            text = f"{data['value'][i, j]:.2f}" + (f"  ({label})" if other else "")
            ax.set_xlabel(text, fontsize=7.5, color=ORANGE if other else MUTED, labelpad=2)
    left_out = len(data["concept"]) - len(shown)
    note = "activation below each input; another class than the row's is framed"
    note += f"; {left_out} concepts with a lower AUC are left out" * bool(left_out)
    figure.suptitle(note, x=0.995, ha="right", fontsize=8.5, color=MUTED)
    return figure
