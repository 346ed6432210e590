"""Do variants and seeds learn the same dictionary: mean cosine of decoder rows matched one to one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from saelab.plots.lines import AT_L0, band, colors, legend, marker, note, over
from saelab.plots.read import Row, column, read_rows
from saelab.plots.style import INK, MUTED, PAPER, WIDTH, new, styled

FEW = 8  # variants of which three panels fit beside each other; of more, two
LETTER = 0.066  # inches that a letter of 8 points takes


def compared(folder: Path) -> bool:
    """Does `agreement.csv` have a pair at equal L0?"""
    return any(equal(row) for row in living(folder))


def living(folder: Path) -> list[Row]:
    """The pairs in which both have latents that live."""
    rows = read_rows(folder / "agreement.csv")
    return [row for row in rows if row["mean_cos"] and all(float(row[side]) > 0 for side in ("a_l0", "b_l0"))]


def equal(row: Row) -> bool:
    return near(float(row["a_l0"]), float(row["b_l0"]))


@styled
def agreement(folder: Path) -> Figure:
    """From `agreement.csv`: between variants a matrix, seeds on its diagonal; without variants, seeds over L0."""
    rows = living(folder)
    variants = any(row["kind"] == "model" and equal(row) for row in rows)
    return matrix(rows) if variants else course([row for row in rows if row["kind"] == "seed"])


def matrix(rows: list[Row]) -> Figure:
    """A triangle per L0 that most pairs have, at most three, of the variants that have it."""
    names = list(dict.fromkeys(name for row in rows for name in (row["a"], row["b"])))
    levels = pick([float(row["a_l0"]) for row in rows if row["kind"] == "model" and equal(row)])
    at = [[row for row in rows if all(near(float(row[side]), level) for side in ("a_l0", "b_l0"))] for level in levels]
    tables = np.stack([table(ours, names) for ours in at])
    shown = alike(tables)
    columns = min(len(levels), 3 if len(names) <= FEW else 2)
    there = [[i for i in shown if np.isfinite(found[i]).any()] for found in tables]
    width = WIDTH / columns - 0.25
    ends = [(place + 1.1, LETTER * len(names[i])) for rank in there for place, i in enumerate(rank)]
    cell = min(0.26, *((width - label) / cells for cells, label in ends))
    lines = [there[start : start + columns] for start in range(0, len(there), columns)]
    heights = [max(map(len, line)) * cell + 0.35 for line in lines]
    figure = new(sum(heights) + 0.45)
    grid = figure.subplots(len(lines), columns, squeeze=False, height_ratios=heights)
    for ax in grid.flat[len(levels) :]:
        ax.set_visible(False)
    for ax, found, ours, level, rank in zip(grid.flat, tables, at, levels, there, strict=False):
        triangle(ax, found[np.ix_(rank, rank)], [names[i] for i in rank], cell)
        ax.set_xlim(-0.5, width / cell - 0.5)
        ax.set_title(f"L0 about {level:.0f}, chance {np.nanmean(column(ours, 'chance')):.2f}", fontsize=9.5)
    left_out = [names[i] for i in shown if not any(i in rank for rank in there)]
    what = "two variants of one seed, beside a name two seeds of it; chance: random directions"
    note(figure, what + ("; at other L0: " + ", ".join(left_out) if left_out else ""))
    return figure


def table(rows: list[Row], names: list[str]) -> np.ndarray:
    """Mean cosines `[n, n]`, of two seeds on the diagonal; nan where there is no pair."""
    found = np.full((len(names), len(names)), np.nan)
    for i, a in enumerate(names):
        for j, b in enumerate(names[: i + 1]):
            ours = [row for row in rows if {row["a"], row["b"]} == {a, b} and (row["kind"] == "seed") == (a == b)]
            if ours:
                found[i, j] = found[j, i] = column(ours, "mean_cos").mean()
    return found


def alike(tables: np.ndarray) -> list[int]:
    """An order of the variants in which those with like dictionaries are neighbours; tables `[levels, n, n]`."""
    count = np.isfinite(tables).sum(0)
    mean = np.where(count > 0, np.nansum(tables, 0) / np.maximum(count, 1), np.nanmin(tables))
    np.fill_diagonal(mean, 1.0)
    tree = linkage(squareform(1 - mean, checks=False), "average", optimal_ordering=True)
    return leaves_list(tree).tolist()


def triangle(ax: Axes, found: np.ndarray, names: list[str], cell: float) -> None:
    """What is on and below the diagonal, at whose end a name stands for its row and its column; a cell in inches."""
    size = min(8.0, 72 * cell / 1.9)
    lower = np.where(np.tril(np.ones_like(found, dtype=bool)), found, np.nan)
    ax.imshow(lower, cmap="Blues", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(lower):
        if np.isfinite(value):
            text, color = f"{value:.2f}".replace("0.", "."), PAPER if value > 0.6 else INK
            ax.text(j, i, text, ha="center", va="center", fontsize=size, color=color)
    for i, name in enumerate(names):
        ax.text(i + 0.65, i, name, ha="left", va="center", fontsize=min(8.0, 72 * cell / 1.4))
    ax.set_anchor("NW")
    ax.axis("off")


def near(a: float, b: float) -> bool:
    """What differs by no more than a quarter counts as equal."""
    return a > 0 and 1 / 1.25 <= a / b <= 1.25


def pick(l0: list[float]) -> list[float]:
    """At most three levels of L0, those with most pairs, ascending."""
    left, found = [v for v in l0 if v > 0], []
    while left and len(found) < 3:
        best = max(left, key=lambda level: sum(near(v, level) for v in left))
        found.append(float(np.median([v for v in left if near(v, best)])))
        left = [v for v in left if not near(v, best)]
    return sorted(found)


def course(rows: list[Row]) -> Figure:
    """The agreement of seeds over L0, a line per treatment, beside chance."""
    names = list(dict.fromkeys(row["a"] for row in rows))
    figure = new(3.2, width=6.6)
    ax = figure.subplots()
    over(ax, column(rows, "a_l0"), AT_L0)
    for name in names:
        for value, color in (("mean_cos", colors(names)[name]), ("chance", MUTED)):
            means = [
                {"l0": l0, "mean": str(np.nanmean(column(ours, value)))}
                for l0 in dict.fromkeys(row["a_l0"] for row in rows if row["a"] == name)
                if np.isfinite(column(ours := [r for r in rows if (r["a"], r["a_l0"]) == (name, l0)], value)).any()
            ]
            band(ax, means, "l0", color, symbol=marker(names, name))
    ax.set_ylim(0, 1.03)
    ax.set_title("Mean cosine of matched decoder rows, between seeds", fontsize=9.5)
    legend(figure, names)
    note(figure, "grey: the same for random directions in one seed's place")
    return figure
