"""Variants against BatchTopK's curve of explained variance over L0."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from saelab.plots.settings import Setting, repeat, written
from saelab.plots.style import BLUE, INK, MUTED, ORANGE, new

RIVAL = "batchtopk"
CLEAR = 0.12  # of the axis: a point so far from the curve has room for its name
ROOM = 0.035  # of the axis: the height of a name
LEAST = 0.5  # of BatchTopK's EV; what is worse would squeeze all else into a line, and is told in words


def frontier(settings: list[Setting]) -> Figure:
    """Left: EV over L0, BatchTopK as a line; right: each variant's EV as a share of BatchTopK's at its own L0."""
    figure = new(max(4.0, 0.24 * len(settings) + 1.2))
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    line = sorted((s for s in settings if s.keys.get("model") == RIVAL), key=lambda s: s.mean("test/l0"))
    others = [s for s in settings if s.keys.get("model") != RIVAL and len(s.values("test/l0"))]
    near = [s for s in others if len(s.values("matched/ratio")) and s.mean("matched/ratio") >= LEAST]
    over_l0(left, line, near)
    shares(right, sorted(near, key=lambda s: -s.mean("matched/ratio")))
    said = [f"points: means over {name}s; bars: ± one standard deviation"] if (name := repeat(settings)) else []
    far = ", ".join(
        f"{s.keys['model']} (L0 {s.mean('test/l0'):.3g}, EV {s.told('test/ev')})" for s in others if s not in near
    )
    figure.supxlabel("; ".join([*said, *([f"not shown: {far}"] if far else [])]), x=0.01, ha="left", fontsize=8)
    return figure


def over_l0(ax: Axes, line: list[Setting], others: list[Setting]) -> None:
    ax.plot([s.mean("test/l0") for s in line], [s.mean("test/ev") for s in line], color=BLUE, marker="o", markersize=4)
    ax.scatter([s.mean("test/l0") for s in others], [s.mean("test/ev") for s in others], s=16, color=ORANGE, zorder=3)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(written("test/ev"))
    ax.set(xlabel="active latents per row (L0), log scale")
    ax.set_title("Explained variance")
    last = line[-1]
    ax.annotate(
        RIVAL,
        (last.mean("test/l0"), last.mean("test/ev")),
        textcoords="offset points",
        xytext=(6, 4),
        color=BLUE,
        fontsize=8,
        weight="bold",
    )
    at = np.log([s.mean("test/l0") for s in line])
    written_at = [-1.0]
    for s in sorted(others, key=lambda s: s.mean("test/ev")):
        place = (s.mean("test/l0"), s.mean("test/ev"))
        off = abs(place[1] - np.interp(np.log(place[0]), at, [r.mean("test/ev") for r in line]))
        if off > CLEAR * span(ax) and place[1] - written_at[-1] > ROOM * span(ax):
            written_at.append(place[1])
            text = s.keys["model"]
            ax.annotate(text, place, textcoords="offset points", xytext=(6, -3), color=MUTED, fontsize=7.5)


def span(ax: Axes) -> float:
    low, high = ax.get_ylim()
    return high - low


def shares(ax: Axes, settings: list[Setting]) -> None:
    """A row per variant; at 1 it is as good as BatchTopK."""
    for y, s in enumerate(settings):
        bar = s.std("matched/ratio") if len(s.rows) > 1 else 0.0
        ax.errorbar(
            s.mean("matched/ratio"), y, xerr=bar, fmt="o", color=ORANGE, markersize=4.5, elinewidth=1, capsize=3
        )
    ax.axvline(1, color=BLUE, linewidth=1)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    ax.set_yticks(range(len(settings)), [s.keys["model"] for s in settings])
    ax.tick_params(axis="y", labelcolor=INK, labelsize=8.5)
    ax.set_ylim(len(settings) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.set_title(f"as a share of {RIVAL}'s")
    ax.set_xlabel("at the same L0")
