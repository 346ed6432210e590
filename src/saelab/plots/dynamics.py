"""Concepts over training: how well the best latent tells each, when each is recovered, and which first."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from saelab.plots.read import Row, column, read_rows
from saelab.plots.style import BLUE, CYCLE, FAINT, GREEN, INK, MUTED, ORANGE, label_ends, names_above, new, styled

FILE, SUMMARY = "figures/concept_dynamics.csv", "figures/concept_dynamics_summary.csv"
ACROSS, MOST = 5, 40  # panels side by side, and in all
FIRST, LAST = ("^", GREEN, "\N{BLACK UP-POINTING TRIANGLE} first recovered"), ("v", ORANGE, "last recovered, then lost")
SKY_PALE = "#cfe6f5"


class History(NamedTuple):
    """What `concept_dynamics.csv` says, by step and concept; a concept is a pair of family and class."""

    steps: np.ndarray  # [t], ascending
    concepts: list[tuple[str, str]]
    auc: np.ndarray  # [t, c], nan where no latent lives
    recovered: np.ndarray  # [t, c]
    detected: np.ndarray  # [t, c]

    def when(self, c: int) -> np.ndarray:
        """The steps at which a concept is recovered."""
        return self.steps[self.recovered[:, c]]

    def lost(self, c: int) -> int:
        """How often it is recovered and at the next look not."""
        on = self.recovered[:, c]
        return int((on[:-1] & ~on[1:]).sum())

    def order(self) -> list[int]:
        """Concepts by first appearance, of equal ones those first that stay longer; those never recovered last."""
        return sorted(
            range(len(self.concepts)),
            key=lambda c: (min(self.when(c), default=np.inf), -len(self.when(c)), -np.nansum(self.auc[:, c])),
        )


def history(rows: list[Row]) -> History:
    """Rows in any order; a step that was stopped in writing, and lacks a concept, counts as not recovered."""
    concepts = list(dict.fromkeys((row["family"], row["concept"]) for row in rows))
    at = column(rows, "step")
    steps = np.unique(at)
    t, c = np.searchsorted(steps, at), [concepts.index((row["family"], row["concept"])) for row in rows]
    tables = {name: np.full((len(steps), len(concepts)), np.nan) for name in ("best_auc", "recovered", "detected")}
    for name, table in tables.items():
        table[t, c] = column(rows, name)
    return History(steps, concepts, tables["best_auc"], tables["recovered"] == 1, tables["detected"] == 1)


@styled
def retention(run: Path) -> Figure:
    """From `figures/concept_dynamics.csv`: a panel per concept, its best AUC over steps, dots where it is recovered."""
    h = history(read_rows(run / FILE))
    shown = h.order()[:MOST] if len(h.concepts) > MOST else range(len(h.concepts))
    across = min(ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure = new(1.35 * down + 0.75)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    several = len({family for family, _ in h.concepts}) > 1
    for ax, c in zip(axes.flat, shown, strict=False):
        family, concept = h.concepts[c]
        panel(ax, h, c)
        ax.set_title(f"{family} {concept}" if several else concept, pad=3)
    for ax in list(axes.flat)[len(shown) :]:
        ax.remove()
    floor = np.nanmin(h.auc) if np.isfinite(h.auc).any() else 0.5
    axes[0, 0].set_ylim(min(0.97, floor - 0.03), 1.02)
    for ax in axes[:, 0]:
        ax.set_ylabel("best AUC")
    for c, ax in enumerate(list(axes.flat)[: len(shown)]):
        if c + across >= len(shown):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("step")
    marks = [
        ("\N{BLACK CIRCLE} recovered", BLUE),
        (FIRST[2], GREEN),
        (f"\N{BLACK DOWN-POINTING TRIANGLE} {LAST[2]}", ORANGE),
    ]
    note = [(f"{len(h.concepts) - len(shown)} concepts that came later are left out", MUTED)]
    figure.suptitle(" ")  # room for the line of names
    names_above_figure(figure, marks + (note if len(shown) < len(h.concepts) else []))
    return figure


def names_above_figure(figure: Figure, names: list[tuple[str, str]]) -> None:
    ax = figure.add_subplot(frameon=False, xticks=[], yticks=[])
    ax.set_in_layout(False)
    ax.set_position((0.05, 0, 0.9, 0.93))
    names_above(ax, names)


def panel(ax: Axes, h: History, c: int) -> None:
    auc, on, when = h.auc[:, c], h.recovered[:, c], h.when(c)
    ax.plot(h.steps, auc, color=BLUE if on.any() else MUTED, linewidth=1.2)
    ax.plot(h.steps[on], auc[on], color=BLUE, marker="o", markersize=3, linestyle="none")
    for (marker, color, _), step in ((FIRST, when[:1]), (LAST, when[-1:])):
        if len(step) and (marker == FIRST[0] or step[0] < h.steps[-1]):
            value = auc[h.steps == step[0]]
            ax.plot(step, value, color=color, marker=marker, markersize=7, linestyle="none", zorder=4)
    step_axis(ax, h.steps)


@styled
def emergence(run: Path) -> Figure:
    """From both files: how many concepts are recovered, and when each is, in the order in which they come."""
    h, whole = history(read_rows(run / FILE)), read_rows(run / SUMMARY)
    order = h.order()[:MOST]
    figure = new(1.5 + 0.75 + 0.24 * len(order))
    top, ax = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 0.3 + 0.24 * len(order)])
    counts(top, whole)
    several = len({family for family, _ in h.concepts}) > 1
    for place, c in enumerate(order):
        for on, color, width in ((h.detected, SKY_PALE, 6), (h.recovered, BLUE, 6)):
            for low, high in stretches(on[:, c]):
                looks = {"color": color, "linewidth": width, "marker": "o", "markersize": width, "markeredgewidth": 0}
                ax.plot(h.steps[[low, high]], [place, place], **looks)  # a dot where it is for one look alone
        ax.text(1.01, place, told(h, c), transform=ax.get_yaxis_transform(), va="center", color=MUTED, fontsize=8.5)
    names = [" ".join(h.concepts[c]) if several else h.concepts[c][1] for c in order]
    ax.set_yticks(range(len(order)), names)
    ax.tick_params(axis="y", labelcolor=INK, labelsize=9)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="y", color=FAINT)
    ax.set_xlabel("step")
    step_axis(ax, h.steps)
    left_out = len(h.concepts) - len(order)
    later = [(f"{left_out} that came later are left out", MUTED)] if left_out else []
    names_above(ax, [("recovered", BLUE), ("only detected", "#7db8de"), *later])
    return figure


def counts(ax: Axes, whole: list[Row]) -> None:
    """How many concepts of each family are recovered; where there is one family, beside those that are detected."""
    steps = column(whole, "step")
    families = [name.removeprefix("recovered_") for name in whole[0] if name.startswith("recovered_")]
    lines = [(f"recovered_{family}", family if len(families) > 1 else "recovered") for family in families]
    lines += [(f"detected_{families[0]}", "detected")] if len(families) == 1 else []
    ends = []
    for i, (name, label) in enumerate(lines):
        value, color = column(whole, name), "#7db8de" if name.startswith("detected") else CYCLE[i % len(CYCLE)]
        ax.step(steps, value, where="post", color=color)
        ends.append((value[-1], f"{label} {value[-1]:.0f}", color))
    ax.set_title("Concepts recovered" if len(families) > 1 else "Concepts recovered and detected")
    ax.set_ylim(0, 1.08 * max(1.0, *(float(np.nanmax(column(whole, name))) for name, _ in lines)))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    label_ends(ax, ends)


def told(h: History, c: int) -> str:
    """When it came, and whether it stayed."""
    when, times = h.when(c), h.lost(c)
    if not len(when):
        return "never"
    text = f"from {when[0]:,.0f}"
    if when[-1] < h.steps[-1]:
        text += f" to {when[-1]:,.0f}"
    again = times - int(when[-1] < h.steps[-1])
    return text + (f", {again} gap{'s' * (again > 1)}" if again else "")


def stretches(on: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of every run of true values."""
    edge = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(int)))
    return [(int(a), int(b) - 1) for a, b in edge.reshape(-1, 2)]


def step_axis(ax: Axes, steps: np.ndarray) -> None:
    """Even from 0 to 1, then logarithmic, as most happens early."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    powers = 10.0 ** np.arange(0, np.log10(max(steps[-1], 1)) + 1e-9)
    ax.xaxis.set_major_locator(FixedLocator([0, *powers] if len(powers) < 4 else [0, *powers[1:]]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlim(-0.15, max(steps[-1], 1) * 1.12)
