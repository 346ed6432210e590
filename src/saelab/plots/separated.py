"""Many models beside each other: how well each tells the parts of a sum apart, and which code tells what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.lines import note
from saelab.plots.read import Row, number, read_rows
from saelab.plots.style import BLUE, FAINT, INK, ORANGE, names_above, new, styled

SHADES = {
    "sdr": {"test": ("tags seen", BLUE), "test_unseen": ("never seen", ORANGE)},
    "code": {"dense": ("dense code", BLUE), "sparse": ("sparse code", ORANGE), "raw": ("rows", INK)},
}
LEFT_OUT = "lines learned with the truth"  # in the table: some are so far off that nothing else could be told apart


@styled
def separated(folder: Path) -> Figure:
    """From `separation.csv`: a row per setting; SDR of each component, then accuracy of read-outs on seen tags."""
    rows = [row for row in read_rows(folder / "separation.csv") if row["model"] != LEFT_OUT]
    lines = list(dict.fromkeys((row["group"], row["model"]) for row in rows))
    groups = list(dict.fromkeys(group for group, _ in lines))
    lines.sort(key=lambda line: groups.index(line[0]))
    panels = [("sdr", what) for what in unique(rows, "sdr")] + [("code", what) for what in unique(rows, "raw")]
    figure = new(0.21 * len(lines) + 1.1)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (kind, what) in zip(axes, panels, strict=True):
        panel(ax, [row for row in rows if row["what"] == what], lines, kind)
        ax.set_title(f"{what}: SDR, dB" if kind == "sdr" else f"{what} read", pad=20, fontsize=9.5)
    axes[0].set_yticks(np.arange(len(lines)), [f"{g}: {m}" if len(groups) > 1 else m for g, m in lines], fontsize=7.5)
    axes[0].tick_params(axis="y", labelcolor=INK)
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    if any(number(row["n"]) > 1 for row in rows):
        note(figure, "means over seeds with 95 % intervals (t); an empty stream has 0 dB")
    return figure


def unique(rows: list[Row], kind: str) -> list[str]:
    return list(dict.fromkeys(row["what"] for row in rows if row["kind"] == kind))


def panel(ax: Axes, rows: list[Row], lines: list[tuple[str, str]], kind: str) -> None:
    shades = SHADES[kind]
    for i, (group, _) in enumerate(lines):
        if i and group != lines[i - 1][0]:
            ax.axhline(i - 0.5, color=FAINT, linewidth=2)
    ends = []
    for row in rows:
        key = row["split"] if kind == "sdr" else row["kind"]
        if (
            key not in shades
            or (row["kind"] == "sdr") != (kind == "sdr")
            or (kind == "code" and row["split"] != "test")
        ):
            continue
        y, color = lines.index((row["group"], row["model"])), shades[key][1]
        mean, low, high = (number(row[name]) for name in ("mean", "low", "high"))
        ends.append(mean)
        if np.isfinite(low):
            ax.plot([low, high], [y, y], color=color, linewidth=1, clip_on=True)
        ax.plot(mean, y, "o", color=color, markersize=3.8, alpha=0.9, clip_on=False)
    if kind == "code":
        ax.set_xlim(min(-0.03, *ends), 1.03)
        if any(row["unit"] == "acc" for row in rows):
            ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f}")
            ax.set_xlabel("% right")
        else:
            ax.set_xlabel("R²")
    else:
        ax.axvline(0, color=INK, linewidth=0.7)
        room = 0.06 * (max(ends) - min(ends)) or 1.0
        ax.set_xlim(min(0.0, *ends) - room, max(0.0, *ends) + room)
    shown = [shade for key, shade in shades.items() if kind == "code" or any(row["split"] == key for row in rows)]
    if len(shown) > 1:  # what every epoch draws anew is never seen
        names_above(ax, shown, sep=5, size=6.5)
