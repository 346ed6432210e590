"""Inputs with their activations, reconstructions and what the base net says to both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import read_arrays
from saelab.plots.style import BLUE, INK, MUTED, ORANGE, WIDTH, names_above, placed, sheet, styled

UNITS = 160  # more bars than this cannot be told apart at report width
SIDE = 0.68  # of an image, in inches; all else in sides
WIDE, PITCH, LEFT = WIDTH / SIDE - 0.1, 1.42, 1.3  # of the figure, from card to card, from a card's edge to its strip
STRIP = WIDE / 2 - LEFT - 0.15


@styled
def examples(run: Path, *, most: int = 12) -> Figure:
    """From `figures/examples.npz`: cards of an image, its activation (grey) under its reconstruction (blue line).

    Wide activations show their most variable units, the same in every card.
    """
    data = read_arrays(run / "figures/examples.npz")
    n = min(most, len(data["images"]))
    units = np.sort(np.argsort(-data["act"].std(0), kind="stable")[:UNITS])
    rows = -(-n // 2)
    figure, ax = sheet(SIDE * PITCH * rows + 0.3, (-0.05, WIDE), (rows * PITCH - PITCH + 1.05, 1 - PITCH))
    for i in range(n):
        left, top = i % 2 * WIDE / 2, i // 2 * PITCH
        said = answers(data, i)
        placed(ax, data["images"][i], left, top, color=ORANGE if any(color == ORANGE for _, color in said) else None)
        activation(ax, data["act"][i, units], data["recon"][i, units], left + LEFT, top)
        names_above(ax, said, sep=16, at=(left + LEFT, top - 0.02), transform=ax.transData)
        ev = f"EV {float(data['ev'][i]):.3f}"
        ax.text(left + LEFT + STRIP, top - 0.06, ev, fontsize=8.5, ha="right", va="bottom", color=MUTED)
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


def activation(ax: Axes, act: np.ndarray, recon: np.ndarray, left: float, top: float) -> None:
    """A strip of bars, one high, drawn into axes whose y runs downwards."""
    edges = left + np.arange(len(act) + 1) * STRIP / len(act)
    both = np.concatenate([act, recon, [0.0]])
    low, high = both.min(), both.max()
    act, recon, zero = (top + (high - values) / max(high - low, 1e-12) for values in (act, recon, np.zeros(())))
    ax.stairs(act, edges, fill=True, baseline=float(zero), color="#c3c8d0")
    ax.stairs(recon, edges, color=BLUE, linewidth=0.9, baseline=None)
    ax.plot(edges[[0, -1]], [zero, zero], color="#9ca3af", linewidth=0.6)


def answers(data: dict[str, np.ndarray], i: int) -> list[tuple[str, str]]:
    """The words above a strip: the label and the net's two answers; a wrong one is orange."""
    names = [(str(data["label"][i]), INK)]
    if "pred_orig" in data:
        for who, name in (("net", "pred_orig"), ("spliced", "pred_recon")):
            answer = str(data[name][i])
            bad = answer != names[0][0]
            short = answer if bad or len(answer) < 6 else "\N{CHECK MARK}"  # a long right answer is the label again
            names.append((f"{who}: {short}", ORANGE if bad else MUTED))
    return names
