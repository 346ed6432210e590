"""Variants beside each other on data with a known truth: a row each, a panel per metric."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from saelab.plots.settings import Setting, repeat, roles, title, written
from saelab.plots.style import BLUE, INK, MUTED, ORANGE, new

PANELS = ("test/l0", "test/ev", "truth/mcc", "truth/f1", "truth/uniqueness")
STREAMS = ("test/l0", "test/ev", "truth/mcc", "truth/s_in_sparse", "truth/dense_r2", "truth/z_in_sparse")
# What a perfect SAE has of it, or what chance has.
MARKS = {
    "test/l0": ("truth/l0", "true"),
    "test/ev": ("truth/oracle_ev", "oracle"),
    "truth/mcc": ("truth/chance_mcc", "chance"),
}


def variants(settings: list[Setting], metrics: list[str]) -> Figure:
    """Mean ± standard deviation over runs and a dot per run; dashed, what the truth or chance has."""
    panels = STREAMS if "truth/dense_r2" in metrics else PANELS  # where a part of the truth is dense
    shown = [metric for metric in panels if metric in metrics]
    figure = new(0.34 * len(settings) + 1.15)
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    keys, _ = roles(settings)
    names = [", ".join(called(s.keys[key]) for key in keys if s.keys[key]) for s in settings]
    for ax, metric in zip(axes, shown, strict=True):
        panel(ax, settings, metric)
    axes[0].set_yticks(np.arange(len(settings)), [textwrap.fill(name, 22) for name in names])
    axes[0].tick_params(axis="y", labelcolor=INK, labelsize=9)
    axes[0].set_ylim(len(settings) - 0.4, -0.6)
    if name := repeat(settings):
        note = f"points and bars: mean ± standard deviation over {name}s; small dots: each {name}"
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=MUTED)
    return figure


def called(cell: str) -> str:
    """A choice as it is; of a class with its path, the name."""
    return cell.rpartition(".")[2] if cell.startswith("saelab.") else cell


def panel(ax: Axes, settings: list[Setting], metric: str) -> None:
    for y, setting in enumerate(settings):
        values = setting.values(metric)
        if not len(values):
            continue
        spread = setting.std(metric) if len(values) > 1 else 0.0
        ax.scatter(values, np.full(len(values), y + 0.24), s=7, color=BLUE, alpha=0.6, linewidths=0)
        ax.errorbar(setting.mean(metric), y, xerr=spread, fmt="o", color=BLUE, markersize=4.5, elinewidth=1, capsize=3)
    if metric in MARKS:
        mark(ax, settings, *MARKS[metric])
    ax.set_title(textwrap.fill(title(metric), 15), fontsize=9.5)
    ax.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(written(metric))
    ax.margins(x=0.12)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)


def mark(ax: Axes, settings: list[Setting], metric: str, name: str) -> None:
    """A dashed line where all settings have the same value of `metric`, to a hundredth of it."""
    values = np.concatenate([s.values(metric) for s in settings])
    if len(values) and np.ptp(values) <= 0.01 * abs(values.mean()):
        at = float(values.mean())
        ax.axvline(at, color=ORANGE, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        ax.text(at, len(settings) - 0.42, f" {name}", color=ORANGE, fontsize=7.5, va="bottom", ha="left")
