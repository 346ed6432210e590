"""Inputs with their activations, reconstructions and what the base net says to both."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import read_arrays
from saelab.plots.style import BLUE, INK, MUTED, ORANGE, frame, names_above, new, picture, styled

UNITS = 160  # more bars than this cannot be told apart at report width


@styled
def examples(run: Path, *, most: int = 12) -> Figure:
    """From `figures/examples.npz`: cards of an image, its activation (grey) under its reconstruction (blue line).

    Wide activations show their most variable units, the same in every card.
    """
    data = read_arrays(run / "figures/examples.npz")
    n = min(most, len(data["images"]))
    units = np.sort(np.argsort(-data["act"].std(0), kind="stable")[:UNITS])
    rows = -(-n // 2)
    figure = new(0.98 * rows + 0.3)
    with mpl.rc_context({"axes.grid": False}):  # nor ticks to hang it on, which take a third of the time
        grid = figure.subplots(rows, 4, width_ratios=[1, 4.6, 1, 4.6], squeeze=False)
    for i in range(2 * rows):
        left, right = grid[i // 2, i % 2 * 2 : i % 2 * 2 + 2]
        if i >= n:
            left.remove()
            right.remove()
            continue
        picture(left, data["images"][i])
        activation(right, data["act"][i, units], data["recon"][i, units])
        caption(left, right, data, i)
    shown = (
        "" if len(units) == data["act"].shape[1] else f" ({len(units)} most variable of {data['act'].shape[1]} units)"
    )
    figure.suptitle(
        f"activation (grey) and its reconstruction (blue line){shown}; orange: the net is wrong",
        x=0.995,
        ha="right",
        fontsize=8.5,
        color=MUTED,
    )
    return figure


def activation(ax: Axes, act: np.ndarray, recon: np.ndarray) -> None:
    edges = np.arange(len(act) + 1) - 0.5
    ax.stairs(act, edges, fill=True, color="#c3c8d0")
    ax.stairs(recon, edges, color=BLUE, linewidth=0.9, baseline=None)
    ax.axhline(0, color="#9ca3af", linewidth=0.6)
    ax.set(xticks=[], yticks=[], xlim=(edges[0], edges[-1]))
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def caption(left: Axes, right: Axes, data: dict[str, np.ndarray], i: int) -> None:
    """Above the strip: label, the net's two answers, EV; a wrong answer is orange."""
    names = [(str(data["label"][i]), INK)]
    if "pred_orig" in data:
        said = (data["pred_orig"][i], data["pred_recon"][i])
        wrong = [str(answer) != str(data["label"][i]) for answer in said]
        for who, answer, bad in zip(("net", "spliced"), said, wrong, strict=True):
            short = answer if bad or len(answer) < 6 else "\N{CHECK MARK}"  # a long right answer is the label again
            names.append((f"{who}: {short}", ORANGE if bad else MUTED))
        if any(wrong):
            frame(left, ORANGE)
    names_above(right, names, sep=16)
    ev = f"EV {float(data['ev'][i]):.3f}"
    right.text(1, 1.03, ev, transform=right.transAxes, fontsize=8.5, ha="right", va="bottom", color=MUTED)
