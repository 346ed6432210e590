"""Many runs beside each other: what reconstruction costs in active latents, what it keeps, what a seed changes."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from saelab.plots.frontier import frontier
from saelab.plots.read import column, number, read_rows
from saelab.plots.settings import SHARE, Setting, by_setting, headlines, repeat, roles, scale_of, title, written
from saelab.plots.style import BLUE, CYCLE, INK, MUTED, label_ends, new, styled
from saelab.plots.variants import variants

SMALL: dict[str, Any] = {"fontsize": 7.5, "color": MUTED}
SECOND = (
    "truth/mcc",
    "probe/codes/",
    "test/acc_recovered",
    "test/loss_recovered",
    "test/dead",
    "test/acc",
    "test/loss",
)
STEADY = 0.02  # L0 that varies by less, relative to its largest, says nothing as an axis
MOST_TICKS = 8


@styled
def sweep(table: Path) -> Figure:
    """From `sweep.csv`: explained variance and one more metric over L0 (log) or the swept key; seeds as dots."""
    rows = [row for row in read_rows(table) if row.get("status", "finished") == "finished"]
    metrics = [name for name in rows[0] if "/" in name and np.isfinite(column(rows, name)).any()] if rows else []
    if not metrics:
        raise ValueError(f"{table} holds no finished run with metrics")
    settings = by_setting(rows)
    if len(settings) == 1:
        return strips(settings[0], [m for m in headlines(rows) if m in metrics] or metrics[:1])
    if "matched/ratio" in metrics:
        return frontier(settings)
    if "truth/mcc" in metrics and not roles(settings)[1]:
        return variants(settings, metrics)
    second = [m for key in SECOND for m in metrics if m.startswith(key) and (m.endswith("/acc") or "/codes/" not in m)]
    shown = [m for m in ("test/ev", *second) if m in metrics][:2] or metrics[:1]
    x, figure = across(settings), new(3.4)
    placed = [s for s in settings if np.isfinite(at := place(s, x, settings)) and (at > 0 or not wide(settings, x))]
    for ax, metric in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        panel(ax, placed, x, metric)
    if note := "; ".join(notes(settings, len(settings) - len(placed))):
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=MUTED)
    return figure


def strips(setting: Setting, metrics: list[str]) -> Figure:
    """A row per metric: a dot per run, one above the other, the mean as a bar and in words at the right."""
    figure = new(0.62 * len(metrics) + 0.3)
    for ax, metric in zip(figure.subplots(len(metrics), 1, squeeze=False)[:, 0], metrics, strict=True):
        values, mean = setting.values(metric), setting.mean(metric)
        ax.plot(values, np.linspace(0.75, 0.25, len(values)), "o", color=BLUE, markersize=4.5, clip_on=False)
        ax.plot([mean, mean], [0.05, 0.95], color=INK, linewidth=1.2, clip_on=False)
        ax.set(ylim=(0, 1), yticks=[], xlim=limits(values, metric))
        ax.grid(visible=True, axis="x")
        ax.spines["left"].set_visible(False)
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(written(metric))
        label = textwrap.fill(title(metric), 24)
        ax.set_ylabel(label, rotation=0, ha="left", va="center", color=INK, labelpad=130)
        ax.text(1.03, 0.5, setting.told(metric), transform=ax.transAxes, va="center", weight="bold")
    if name := repeat([setting]):
        note = f"dots: each {name}; bar and number: mean ± standard deviation over {len(setting.rows)} {name}s"
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=MUTED)
    return figure


def limits(values: np.ndarray, metric: str) -> tuple[float, float]:
    """An axis range around values, never narrower than what matters of the metric, nor beyond 0 and 1 without need."""
    scale, low, high = scale_of(metric), float(values.min()), float(values.max())
    least = scale.resolution * (abs(low + high) / 2 if scale.relative else 1)
    half = max(least, 1.28 * (high - low)) / 2 or 1.0
    bottom, top = (low + high) / 2 - half, (low + high) / 2 + half
    if scale is SHARE and top > 1 >= high:
        top = 1 + 0.08 * half
        bottom = min(bottom, top - least)
    if bottom < 0 <= low:
        bottom = -0.08 * half
        top = max(top, bottom + least)
    return bottom, top


def across(settings: list[Setting]) -> str:
    """What runs along the horizontal axis: L0 where it varies, else the swept number, else nothing: categories."""
    l0 = [s.mean("test/l0") for s in settings if len(s.values("test/l0"))]
    if l0 and max(l0) - min(l0) >= STEADY * max(l0) > 0:
        return "test/l0"
    _, value = roles(settings)
    return value[0] if len(value) == 1 and all(np.isfinite(number(s.keys[value[0]])) for s in settings) else ""


def notes(settings: list[Setting], left_out: int) -> list[str]:
    """What a reader has to know to read the panels."""
    said = []
    if name := repeat(settings):
        counts = sorted({len(s.rows) for s in settings})
        many = "-".join(str(n) for n in (counts if len(counts) == 1 else (counts[0], counts[-1])))
        said.append(f"points: means over {many} {name}s; bars: ± one standard deviation; small dots: each {name}")
    return said + ([f"left out: {left_out} of {len(settings)} settings without active latents"] if left_out else [])


def panel(ax: Axes, settings: list[Setting], x: str, metric: str) -> None:
    """One metric, a line per group of settings; categories have dots alone."""
    names, value = roles(settings)
    ours = [s for s in settings if len(s.values(metric))]
    numbered = value if x == "test/l0" else []
    lines: dict[str, list[Setting]] = {}
    for setting in sorted(ours, key=lambda s: place(s, x, ours)):
        lines.setdefault(", ".join(setting.keys[n] for n in names if setting.keys[n]) if x else "", []).append(setting)
    ax.set_title(title(metric))
    ax.yaxis.set_major_formatter(written(metric))
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_ylim(*limits(np.concatenate([s.values(metric) for s in ours]), metric))
    horizontal(ax, ours, x, numbered)
    ends = []
    for i, name in enumerate(sorted(lines, key=order)):
        line, color = lines[name], CYCLE[i % len(CYCLE)]
        at, y = np.array([place(s, x, ours) for s in line]), np.array([s.mean(metric) for s in line])
        trace(ax, line, at, metric, color)
        ax.plot(at, y, color=color, marker="o", markersize=4.5, linestyle="-" if x else "none")
        label_points(ax, at, y, [setting_text(s, numbered) for s in line], beside(i, repeat(line)))
        ends.append((y[-1], name, color))
    if x and names:
        label_ends(ax, ends)


def place(setting: Setting, x: str, settings: list[Setting]) -> float:
    """Where a setting stands on the horizontal axis."""
    return setting.mean(x) if "/" in x else number(setting.keys[x]) if x else float(settings.index(setting))


def order(name: str) -> tuple[float, str]:
    return (number(name) if math.isfinite(number(name)) else math.inf, name)


def trace(ax: Axes, line: list[Setting], at: np.ndarray, metric: str, color: str) -> None:
    """Where runs repeat, the spread around their mean, and left of it a small dot for each."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    left = ax.transData + ScaledTranslation(-6 / 72, 0, figure.dpi_scale_trans)
    for here, setting in zip(at, line, strict=True):
        values = setting.values(metric)
        if len(values) > 1:
            mean, std = setting.mean(metric), setting.std(metric)
            ax.errorbar(here, mean, yerr=std, fmt="none", ecolor=color, elinewidth=0.9, capsize=3, capthick=0.9)
            ax.scatter(np.full(len(values), here), values, s=7, color=color, alpha=0.6, linewidths=0, transform=left)


def setting_text(setting: Setting, numbered: list[str]) -> str:
    """The one of these keys that the setting has, floats to two digits."""
    cell = next((setting.keys[name] for name in numbered if setting.keys[name]), "")
    return cell if cell.isdecimal() or not cell else f"{number(cell):.2g}"


def beside(line: int, repeated: str) -> dict[str, Any]:
    """Where a point's number stands: above, below for every other line, and right of the bars if there are any."""
    spot = (5, -11) if repeated else (0, 6 if line % 2 == 0 else -12)
    return {"xytext": spot, "ha": "left" if repeated else "center"}


def label_points(ax: Axes, at: np.ndarray, y: np.ndarray, names: list[str], where: dict[str, Any]) -> None:
    """Write a point's name beside it, from the right, where the last one written leaves room for it."""
    to = np.log10 if ax.get_xscale() == "log" else np.asarray
    low, high = to(ax.get_xlim())
    free = math.inf
    for place, height, name in reversed(list(zip(at, y, names, strict=True))):
        share = float((to(place) - low) / (high - low))
        if name and free - share > 0.02 + 0.015 * len(name):
            ax.annotate(name, (place, height), textcoords="offset points", **where, **SMALL)
            free = share


def horizontal(ax: Axes, settings: list[Setting], x: str, numbered: list[str]) -> None:
    """The horizontal axis: L0 or a number, as a logarithm where it spans much, or a name per setting."""
    at = [place(s, x, settings) for s in settings]
    if not x:
        names = [textwrap.fill(", ".join(cell for cell in s.keys.values() if cell), 14) for s in settings]
        ax.set_xticks(at, names)
        ax.set(xlim=(-0.6, len(at) - 0.4), xlabel=", ".join(settings[0].keys))
        return
    if wide(settings, x):
        log_axis(ax, at)
    ax.set_xlim(*room(at, wide(settings, x)))
    if x != "test/l0" and len(set(at)) <= MOST_TICKS:
        ax.set_xticks(sorted(set(at)))
    label = {"test/l0": "active latents per row (L0)"}.get(x, x) + (", log scale" if wide(settings, x) else "")
    ax.set_xlabel(label + (f"; numbers: {' or '.join(numbered)}" if numbered else ""))


def wide(settings: list[Setting], x: str) -> bool:
    positive = [p for p in (place(s, x, settings) for s in settings) if p > 0]
    zero_is_a_setting = x != "test/l0" and len(positive) < len(settings)
    return bool(positive) and not zero_is_a_setting and max(positive) > 3 * min(positive)


def room(at: list[float], log: bool) -> tuple[float, float]:
    """The range of places with a margin of a twelfth."""
    low, high = (math.log10(min(at)), math.log10(max(at))) if log else (min(at), max(at))
    margin = (high - low) / 12 or 0.5
    return (10 ** (low - margin), 10 ** (high + margin)) if log else (low - margin, high + margin)


def log_axis(ax: Axes, at: list[float]) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1,) if max(at) > 1000 * min(at) else (1, 2, 5)))
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
