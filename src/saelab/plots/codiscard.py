"""Which concepts are discarded together, in clustered order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.lines import note
from saelab.plots.read import Row, number, read_rows
from saelab.plots.style import INK, new, styled

SIGNIFICANT = 0.05
PANELS = (("phi", "Correlation of discarding (phi)", "RdBu_r", -1), ("jaccard", "Jaccard of the runs", "Blues", 0))
NUMBERED = 12  # concepts, up to which values are written into the cells


@styled
def codiscard(folder: Path) -> Figure:
    """From `codiscard.csv`: phi and Jaccard of every pair; a star where chance within settings does not explain it."""
    rows = read_rows(folder / "codiscard.csv")
    place = {side(row, s): int(row[f"{s}_place"]) for row in rows for s in ("a", "b")}
    names = sorted(place, key=lambda name: place[name])
    several = len({family for family, _ in names}) > 1
    figure = new(0.27 * len(names) + 1.2)
    for ax, (column, heading, shades, low) in zip(figure.subplots(1, 2), PANELS, strict=True):
        heat(figure, ax, rows, names, column, shades, low)
        texts = [f"{family} {name}" if several else name for family, name in names]
        ax.set_xticks(range(len(names)), texts, rotation=90 if several else 0)
        ax.set_yticks(range(len(names)), texts)
        ax.tick_params(labelcolor=INK, labelsize=8)
        ax.set_title(heading)
        ax.set_ylabel("" if several else names[0][0])
    tested = any(row["q"] for row in rows)
    stars = f"*: together more often than by chance within settings (q < {SIGNIFICANT})" if tested else "not tested"
    note(figure, f"{rows[0]['runs']} runs; {stars}; grey: a concept that all or no runs discard")
    return figure


def side(row: Row, s: str) -> tuple[str, str]:
    return row[f"{s}_family"], row[s]


def heat(figure: Figure, ax: Axes, rows: list[Row], names: list, column: str, shades: str, low: float) -> None:
    table = np.full((len(names), len(names)), np.nan)
    for row in rows:
        a, b = names.index(side(row, "a")), names.index(side(row, "b"))
        table[a, b] = table[b, a] = number(row[column])
    ax.set_facecolor("#d7dade")
    image = ax.imshow(table, cmap=shades, vmin=low, vmax=1)
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    for row in rows:
        a, b = names.index(side(row, "a")), names.index(side(row, "b"))
        star = "*" if row["q"] and number(row["q"]) < SIGNIFICANT else ""
        value = number(row[column])
        text = f"{value:.1f}".replace("0.", ".").replace("-.0", ".0") if len(names) <= NUMBERED else ""
        for i, j in ((a, b), (b, a)):
            if np.isfinite(value) and text + star:
                dark = (value - low) / (1 - low)
                light = dark > (0.78 if low < 0 else 0.6) or (low < 0 and dark < 0.2)
                ax.text(j, i, text + star, ha="center", va="center", fontsize=7, color="white" if light else INK)
    bar = figure.colorbar(image, ax=ax, shrink=0.75, aspect=25, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=7.5)
