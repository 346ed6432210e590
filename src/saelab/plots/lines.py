"""Panels in which a line per treatment runs over sparsity, with the interval of its mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from saelab.plots.read import Row, column
from saelab.plots.style import CYCLE, MUTED

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
AT_L0 = "active latents per row (L0)"


def colors(names: Sequence[str]) -> dict[str, str]:
    """A colour per line; beyond the palette they repeat, with another marker."""
    return {name: CYCLE[i % len(CYCLE)] for i, name in enumerate(names)}


def marker(names: Sequence[str], name: str) -> str:
    return MARKERS[list(names).index(name) // len(CYCLE) % len(MARKERS)]


def band(
    ax: Axes, rows: list[Row], x: str, color: str, *, y: str = "mean", symbol: str = "o", style: str = "-"
) -> None:
    """Means over x as a line; where there is an interval, it is a band, but of a line that is not solid."""
    rows = sorted((row for row in rows if row.get(x)), key=lambda row: float(row[x]))
    at, mean = column(rows, x), column(rows, y)
    low, high = column(rows, "low"), column(rows, "high")
    if ax.get_xscale() == "log":
        keep = at > 0
        at, mean, low, high = at[keep], mean[keep], low[keep], high[keep]
    if style == "-":
        bottom, top = np.where(np.isfinite(low), low, mean), np.where(np.isfinite(high), high, mean)
        ax.fill_between(at, bottom, top, **fill(color))
    ax.plot(at, mean, style, color=color, marker=symbol, markersize=3.2, linewidth=1.4)


def fill(color: str) -> dict:
    return {"color": color, "alpha": 0.14, "linewidth": 0}


def legend(figure: Figure, names: Sequence[str]) -> None:
    """Lines by name above all panels; nothing where there is one line without a name."""
    if not any(names):
        return
    shades = colors(names)
    handles = [
        Line2D([], [], color=shades[n], marker=marker(names, n), markersize=4, linewidth=1.6, label=n or "as it is")
        for n in names
    ]
    longest = max(len(name) for name in names)
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=max(1, min(len(names), 100 // (longest + 8))),
        frameon=False,
        fontsize=8.5,
        handlelength=1.8,
        columnspacing=1.6,
    )


def over(ax: Axes, values: np.ndarray, label: str) -> None:
    """The horizontal axis: a logarithm where positive values span more than a factor of three."""
    positive = values[values > 0]
    if len(positive) and positive.max() > 3 * positive.min():
        ax.set_xscale("log")
        wide = positive.max() > 300 * positive.min()
        ax.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
        ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}" if 1e-3 <= v < 1e4 else f"{v:.0e}".replace("e-0", "e-"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        low, high = math.log10(positive.min()), math.log10(positive.max())
        margin = 0.04 * (high - low)
        ax.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    ax.set_xlabel(label)


def note(figure: Figure, text: str) -> None:
    """A line below all panels on how to read them."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8, color=MUTED)


def repeats(rows: list[Row]) -> str:
    """What bands show, in words; empty where nothing repeats."""
    n = {int(float(row["n"])) for row in rows if row.get("n")}
    many = f"{min(n)}" if len(n) == 1 else f"{min(n)}-{max(n)}"
    return f"points: means over {many} seeds; bands: 95 % intervals (t)" if n and max(n) > 1 else ""
