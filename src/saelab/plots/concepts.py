"""How readable each concept is: from raw activations, from all codes, from a single latent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import Row, column, read_rows
from saelab.plots.style import CODES, FAINT, MUTED, RAW, SINGLE, names_above, new, styled

SERIES = {
    "AUC": (
        ("best_latent_auc", "best single latent", SINGLE, "D"),
        ("probe_auc_codes", "probe on codes", CODES, "o"),
        ("probe_auc_raw", "probe on raw", RAW, "o"),
    ),
    "F1": (("probe_f1_codes", "probe on codes", CODES, "o"), ("probe_f1_raw", "probe on raw", RAW, "o")),
}


@styled
def concepts(run: Path) -> Figure:
    """From `figures/concepts.csv`: a line per concept, AUC left and F1 right, families apart."""
    rows = read_rows(run / "figures/concepts.csv")
    families = list(dict.fromkeys(row["family"] for row in rows))
    rows = sorted(rows, key=lambda row: families.index(row["family"]))
    gap = 0.9 if len(families) > 1 else 0
    place = np.array([i + gap * (1 + families.index(row["family"])) for i, row in enumerate(rows)])
    panels = scored(rows)
    figure = new(0.24 * (place[-1] + 1) + 0.95)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (name, kinds) in zip(axes, panels.items(), strict=True):
        dumbbells(ax, rows, place, kinds)
        ax.set_title(f"{name}, held-out rows", pad=22)
    axes[0].set_yticks(place, [row["concept"] for row in rows])
    axes[0].tick_params(axis="y", labelcolor="black", labelsize=9)
    axes[0].set_ylim(place[-1] + 0.6, place[0] - 0.6 - gap)
    if gap:
        for family in families:
            first = next(p for p, row in zip(place, rows, strict=True) if row["family"] == family)
            for ax in axes:
                ax.annotate(
                    family if ax is axes[0] else "",
                    (0, first - 0.85),
                    xycoords=("axes fraction", "data"),
                    xytext=(4, 0),
                    textcoords="offset points",
                    weight="bold",
                    va="center",
                    fontsize=9,
                )
    return figure


def scored(rows: list[Row]) -> dict[str, list[tuple[str, str, str, str]]]:
    """The series of each panel that has any; none at all where no latent lives and nothing was probed."""
    panels = {name: [s for s in kinds if np.isfinite(column(rows, s[0])).any()] for name, kinds in SERIES.items()}
    return {name: kinds for name, kinds in panels.items() if kinds}


def dumbbells(ax: Axes, rows: list[Row], place: np.ndarray, kinds: list[tuple[str, str, str, str]]) -> None:
    """Dots on a line from the worst to the best; the legend is a line of coloured names above."""
    values = np.stack([column(rows, key) for key, *_ in kinds])
    some = np.isfinite(values).any(0)
    low, high = np.nanmin(values[:, some], 0), np.nanmax(values[:, some], 0)
    ax.hlines(place[some], low, high, color="#cbd0d8", linewidth=2.2, zorder=1)
    for value, (_, _, color, marker) in zip(values, kinds, strict=True):
        size = 30 if marker == "D" else 42
        open_face = color == RAW  # a ring, so that a dot of the codes shows through where both agree
        ax.scatter(
            value,
            place,
            s=size,
            marker=marker,
            zorder=3,
            linewidth=1.4,
            facecolor="none" if open_face else color,
            edgecolor=color,
        )
    glyph = {"D": "\N{BLACK DIAMOND}", "o": "\N{BLACK CIRCLE}", "ring": "\N{WHITE CIRCLE}"}
    names_above(ax, [(f"{glyph['ring' if c == RAW else m]} {name}", c) for _, name, c, m in kinds])
    floor = float(np.nanmin(values))
    ax.set_xlim(max(0.0, floor - 0.04) if floor < 0.96 else 0.9, 1.012)
    ax.axvline(1, color=MUTED, linewidth=0.6)
    ax.grid(axis="y", color=FAINT)
    ax.spines["left"].set_visible(False)
