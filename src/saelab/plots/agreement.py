"""Do variants and seeds learn the same dictionary: mean cosine of decoder rows matched one to one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from saelab.plots.lines import AT_L0, band, colors, legend, marker, note, over
from saelab.plots.read import Row, column, read_rows
from saelab.plots.style import FAINT, INK, MUTED, new, styled

MOST_LINES = 7  # lines of seeds


@styled
def agreement(folder: Path) -> Figure:
    """From `agreement.csv`: between variants a matrix, seeds on its diagonal; without variants, seeds over L0."""
    rows = read_rows(folder / "agreement.csv")
    return matrix(rows) if any(row["kind"] == "model" for row in rows) else course(rows)


def matrix(rows: list[Row]) -> Figure:
    """A panel per L0 that most pairs have, at most three: what differs by less than a fifth counts as equal."""
    levels = pick([float(row["a_l0"]) for row in rows])
    names = list(dict.fromkeys(name for row in rows for name in (row["a"], row["b"])))
    figure = new(0.26 * len(names) + 1.3)
    axes = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    image = None
    for ax, level in zip(axes, levels, strict=True):
        ours = [row for row in rows if all(near(float(row[side]), level) for side in ("a_l0", "b_l0"))]
        table = np.full((len(names), len(names)), np.nan)
        for i, a in enumerate(names):
            for j, b in enumerate(names):
                found = [row for row in ours if {row["a"], row["b"]} == {a, b} and (a != b or row["kind"] == "seed")]
                if len(found):
                    table[i, j] = np.nanmean(column(found, "mean_cos"))
        image = ax.imshow(table, cmap="Blues", vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(table):
            if np.isfinite(value):
                text = f"{value:.2f}".replace("0.", ".")
                ax.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if value > 0.6 else INK)
        ax.set_xticks(range(len(names)), names, rotation=90)
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(labelcolor=INK, labelsize=8)
        ax.set_title(f"L0 about {level:.0f}, chance {np.nanmean(column(ours, 'chance')):.2f}", fontsize=9.5)
        ax.grid(visible=False)
        for spine in ax.spines.values():
            spine.set(visible=True, color=FAINT)
    assert image is not None
    bar = figure.colorbar(image, ax=list(axes), shrink=0.75, aspect=25, pad=0.02)
    bar.outline.set_visible(False)  # type: ignore[operator]
    what = "two variants of one seed, on the diagonal two seeds of one; white: no pair; chance: random directions"
    note(figure, what)
    return figure


def near(a: float, b: float) -> bool:
    return a > 0 and 1 / 1.2 <= a / b <= 1.2


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
