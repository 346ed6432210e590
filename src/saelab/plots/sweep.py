"""Many runs beside each other: what reconstruction costs in active latents, and what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from saelab.plots.read import Row, column, number, read_rows
from saelab.plots.style import CYCLE, MUTED, label_ends, new, styled

SMALL: dict[str, Any] = {"fontsize": 7.5, "color": MUTED}
BESIDES = ("job", "status", "run", "name", "wall_s")
SECOND = ("probe/codes/", "test/acc_recovered", "test/loss_recovered", "test/dead", "test/acc", "test/loss")
TITLES = {
    "test/ev": "Explained variance",
    "test/l0": "Active latents per row",
    "test/acc_recovered": "Accuracy recovered when spliced",
    "test/loss_recovered": "Loss recovered when spliced",
    "test/dead": "Dead latents, fraction",
    "test/acc": "Test accuracy",
    "test/loss": "Test loss",
}


@styled
def sweep(table: Path) -> Figure:
    """From `sweep.csv`: explained variance over L0 (log), and one more metric, a line per group of runs."""
    rows = [row for row in read_rows(table) if row.get("status", "finished") == "finished"]
    metrics = [name for name in rows[0] if "/" in name and np.isfinite(column(rows, name)).any()] if rows else []
    if not metrics:
        raise ValueError(f"{table} holds no finished run with metrics")
    group, value = roles(rows)
    x = "test/l0" if "test/l0" in metrics else value.split(" or ")[0]
    second = [m for key in SECOND for m in metrics if m.startswith(key) and (m.endswith("/acc") or "/codes/" not in m)]
    shown = [m for m in ("test/ev", *second) if m in metrics][:2] or metrics[:1]
    figure = new(3.4)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for ax, metric in zip(axes, shown, strict=True):
        panel(ax, rows, x, metric, group, "" if x == value else value)
    return figure


def roles(rows: list[Row]) -> tuple[str, str]:
    """Which override column makes the lines, and which orders the runs along one; empty where there is none."""
    names = [name for name in rows[0] if "/" not in name and name not in BESIDES and not name.endswith("seed")]
    kinds = {name: {row[name] for row in rows} for name in names}
    swept = sorted((name for name in names if len(kinds[name]) > 1), key=lambda name: len(kinds[name]))
    text = [name for name in swept if any(cell and not np.isfinite(number(cell)) for cell in kinds[name])]
    numeric = [name for name in swept if name not in text]
    group = (text or numeric[:-1] or [""])[0]
    return group, " or ".join(name for name in numeric if name != group)


def panel(ax: Axes, rows: list[Row], x: str, metric: str, group: str, value: str) -> None:
    ends = []
    groups = sorted({row.get(group, "") for row in rows})
    for i, name in enumerate(groups):
        color, above = CYCLE[i % len(CYCLE)], 6 if i % 2 == 0 else -12
        ours = [row for row in rows if row.get(group, "") == name and np.isfinite(number(row.get(metric)))]
        if not ours:
            continue
        at = column(ours, x) if x else np.arange(len(ours))
        y, order = column(ours, metric), np.argsort(at)
        ax.plot(at[order], y[order], color=color, marker="o", markersize=4.5)
        ends.append((y[order][-1], name, color))
        for a, b, row in zip(at, y, ours, strict=True):
            setting = next((row[v] for v in value.split(" or ") if row.get(v)), "")
            ax.annotate(setting, (a, b), xytext=(0, above), textcoords="offset points", ha="center", **SMALL)
    positive = column(rows, x)[column(rows, x) > 0] if x else np.ones(1)
    if x == "test/l0" or positive.max() > 20 * positive.min():
        log_axis(ax)
    ax.margins(0.06, 0.14)
    ax.set_title(title(metric))
    note = f"; numbers: {value}" if value else ""
    ax.set_xlabel({"test/l0": "active latents per row (L0), log scale"}.get(x, x) + note)
    if group:
        label_ends(ax, ends)


def log_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def title(metric: str) -> str:
    if metric.startswith("probe/") and metric.count("/") == 3:
        _, features, family, kind = metric.split("/")
        return f"Probed {'accuracy' if kind == 'acc' else kind} of {family} ({features})"
    return TITLES.get(metric, metric)
