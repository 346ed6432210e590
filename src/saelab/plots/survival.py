"""Which concepts are recovered at which sparsity: a map per treatment, from dense to sparse."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from saelab.plots.lines import note
from saelab.plots.read import Row, number, read_rows
from saelab.plots.style import BLUE, FAINT, INK, MUTED, new, styled

SHADES = LinearSegmentedColormap.from_list("share", ["#ffffff", BLUE])
MOST_TICKS = 12


@styled
def survival(folder: Path) -> Figure:
    """From `survival.csv`: concepts by settings, the longest-lived on top; shade: the share of seeds that recover."""
    rows = read_rows(folder / "survival.csv")
    names = list(dict.fromkeys(row["line"] for row in rows))
    concepts = in_order(rows)
    across = 1 if len(names) == 1 else 2
    down = math.ceil(len(names) / across)
    figure = new((0.2 * len(concepts) + 0.75) * down + 0.25)
    grid = figure.subplots(down, across, squeeze=False)
    for i, (ax, name) in enumerate(zip(grid.flat, names, strict=False)):
        shades(ax, [row for row in rows if row["line"] == name], concepts, labelled=i % across == 0)
        ax.set_title(textwrap.fill(name, 60), fontsize=9.5)
        if i // across == down - 1 or i + across >= len(names):
            ax.set_xlabel("active latents per row (L0)")
    for ax in grid.flat[len(names) :]:
        ax.set_visible(False)
    seeds = max(int(float(row["n"])) for row in rows)
    how = f"share of {seeds} seeds: white none, blue all" if seeds > 1 else "blue: recovered"
    note(figure, f"{how}; a step to the left is the next setting that was trained, not a fixed factor")
    return figure


def in_order(rows: list[Row]) -> list[tuple[str, str]]:
    """Concepts, families apart, by how often they are recovered over all settings."""
    total: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (row["family"], row["concept"])
        total[key] = total.get(key, 0) + number(row["recovered"])
    families = list(dict.fromkeys(family for family, _ in total))
    return sorted(total, key=lambda key: (families.index(key[0]), -total[key]))


def shades(ax: Axes, rows: list[Row], concepts: list[tuple[str, str]], *, labelled: bool) -> None:
    settings = sorted({(number(row["l0"]), number(row["x"])) for row in rows}, key=lambda s: (s[0], -s[1]))
    share = np.full((len(concepts), len(settings)), np.nan)
    for row in rows:
        column = settings.index((number(row["l0"]), number(row["x"]))) if row["x"] else by_l0(settings, row)
        share[concepts.index((row["family"], row["concept"])), column] = number(row["recovered"])
    ax.pcolormesh(share, cmap=SHADES, vmin=0, vmax=1, edgecolors=FAINT, linewidth=0.6)
    ax.invert_yaxis()
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    every = math.ceil(len(settings) / MOST_TICKS)
    ticks = [i for i in range(len(settings)) if (len(settings) - 1 - i) % every == 0]
    ax.set_xticks([i + 0.5 for i in ticks], [f"{settings[i][0]:.3g}" for i in ticks])
    several = len({family for family, _ in concepts}) > 1
    texts = [f"{family} {name}" if several else name for family, name in concepts]
    ax.set_yticks(np.arange(len(concepts)) + 0.5, texts if labelled else [])
    ax.set_ylabel("" if several or not labelled else concepts[0][0])
    ax.tick_params(axis="y", labelcolor=INK, labelsize=8)
    ax.tick_params(axis="x", labelcolor=MUTED, labelsize=8)
    for i in range(1, len(concepts)):
        if concepts[i][0] != concepts[i - 1][0]:
            ax.axhline(i, color=INK, linewidth=0.8)


def by_l0(settings: list[tuple[float, float]], row: Row) -> int:
    return next(i for i, setting in enumerate(settings) if setting[0] == number(row["l0"]))
