"""How much of each component is in the stream that is for it, and what linear read-outs tell from either code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import Row, number, read_rows
from saelab.plots.style import BLUE, INK, ORANGE, names_above, new, styled

CANDIDATES = {
    "sae": "this model",
    "pca": "principal axes,\nand the rest",
    "chance": "axes dealt\nat random",
    "mixture": "the picture itself",
    "linear": "lines learned\nwith the truth",
    "ideal": "the truth",
}
CODES = {"dense": "dense code", "sparse": "sparse code", "both": "both codes", "raw": "the rows"}
SPLITS = {"test": ("tags that were seen", BLUE), "test_unseen": ("tags never seen", ORANGE)}
MOST = 60  # dB, above which a component is whole but for rounding


@styled
def separation(run: Path) -> Figure:
    """From `figures/readouts.csv` and, of pixels, `separation.csv`: seen tags blue, unseen ones orange."""
    read = read_rows(run / "figures/readouts.csv")
    file = run / "figures/separation.csv"
    pixels = [row for row in (read_rows(file) if file.exists() else []) if row["role"] == "1"]
    components = list(dict.fromkeys(row["component"] for row in pixels))
    families = list(dict.fromkeys(row["family"] for row in read))
    figure = new(3.0 + 2.3 * bool(pixels))
    lines = [components, families] if pixels else [families]
    for i, names in enumerate(lines):
        axes = figure.add_gridspec(len(lines), 1, height_ratios=[1.35, 1][: len(lines)])[i].subgridspec(1, len(names))
        for j, name in enumerate(names):
            ax = figure.add_subplot(axes[j])
            if names is components and pixels:
                decibels(ax, [row for row in pixels if row["component"] == name], name)
            else:
                readouts(ax, [row for row in read if row["family"] == name], name)
            if j:
                ax.set_yticklabels([])
    return figure


def decibels(ax: Axes, rows: list[Row], name: str) -> None:
    """SDR with its interval; what is whole is at the edge."""
    shown = [c for c in CANDIDATES if any(row["code"] == c and number(row["sdr"]) < MOST for row in rows)]
    rows = [row for row in rows if row["code"] in shown]
    ax.axvline(0, color=INK, linewidth=0.7)
    for row in rows:
        low, mid, high = (number(row[key]) for key in ("low", "sdr", "high"))
        dot(ax, shown.index(row["code"]), row["split"], mid, (low, high))
    stream = next((row["stream"] for row in rows if row["code"] == "sae"), "")
    dress(ax, [CANDIDATES[c] for c in shown], f"{name}: {stream} stream" if stream else f"{name}: no stream", "SDR, dB")


def readouts(ax: Axes, rows: list[Row], name: str) -> None:
    """The share of rows that are read right, or R²."""
    shown = [c for c in CODES if any(row["code"] == c for row in rows)]
    for row in rows:
        dot(ax, shown.index(row["code"]), row["split"], number(row["value"]), None)
    accuracy = rows[0]["kind"] == "acc"
    label = f"{name} read from a code" if accuracy else f"R² of {name} from a code"
    dress(ax, [CODES[c] for c in shown], label, "")
    ax.set_xlim(-0.03 if accuracy else None, 1.03)
    if accuracy:
        ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")


def dot(ax: Axes, place: int, split: str, value: float, ends: tuple[float, float] | None) -> None:
    y = place + (-0.13 if split == "test" else 0.13)
    color = SPLITS[split][1]
    if ends is not None:
        ax.plot(ends, [y, y], color=color, linewidth=1.2)
    ax.plot(value, y, "o", color=color, markersize=5, clip_on=False)


def dress(ax: Axes, names: list[str], title: str, label: str) -> None:
    ax.set_yticks(np.arange(len(names)), names)
    ax.tick_params(axis="y", labelcolor=INK)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=label)
    ax.set_title(title, pad=20)
    names_above(ax, list(SPLITS.values()), sep=8, size=7.5)
