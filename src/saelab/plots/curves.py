"""How training went: losses, explained variance, L0 and dead latents over steps, or loss and accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import Row, column, read_rows, series
from saelab.plots.style import BLUE, CYCLE, INK, MUTED, label_ends, new, styled

PANELS = {
    "ev": "Explained variance",
    "fvu": "Variance unexplained",
    "l0": "Active latents per row (L0)",
    "dead": "Dead latents, fraction",
    "acc": "Accuracy",
    "f1": "F1, macro",
    "map": "Average precision, macro",
}
# First words of what is logged for the training batch and is no term of the loss.
NOT_A_LOSS = {*PANELS, "mse", "l1", "norm", "grad", "lr"}
MOST = 5  # panels of metrics


@styled
def curves(run: Path) -> Figure:
    """From `metrics.csv`: a panel of the loss and its terms, then one per metric, training and validation together."""
    rows = read_rows(run / "metrics.csv")
    losses, panels = drawable(rows)
    count = bool(losses) + len(panels)
    if not count:
        raise ValueError(f"{run / 'metrics.csv'} holds no curve of a loss or a metric")
    across = 2 if count > 1 else 1
    down = -(-count // across)
    figure = new(2.35 * down + 0.1)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    if losses:
        loss_panel(axes[0], rows, losses)
    for ax, key in zip(axes[bool(losses) :], panels, strict=False):
        metric_panel(ax, rows, key)
    for ax in axes[count:]:
        ax.remove()
    steps = column(rows, "step")
    for ax in axes[:count]:  # training and validation are logged at different steps; time is the same in all panels
        ax.set_xlim(np.nanmin(steps) - 0.01 * np.ptp(steps), np.nanmax(steps) + 0.01 * np.ptp(steps) + 1e-9)
    for ax in axes[max(0, count - across) : count]:
        ax.set_xlabel("step")
    return figure


def drawable(rows: list[Row]) -> tuple[list[str], list[str]]:
    """The loss columns, and the panels of other metrics, that were logged at least once."""
    logged = [name for name in (rows[0] if rows else {}) if len(series(rows, name)[0])]
    losses = [n for n in logged if n.startswith("train/") and n.split("/")[1].split("_")[0] not in NOT_A_LOSS]
    losses += [n for n in logged if n == "val/loss"]
    keys = dict.fromkeys(n.split("/")[1] for n in logged if n.startswith(("train/", "val/")))
    panels = [key for key in PANELS if key in keys] + [key for key in keys if key.startswith("acc_")]
    return losses, panels[:MOST]


def loss_panel(ax: Axes, rows: list[Row], names: list[str]) -> None:
    ends = []
    # The total first, so its terms lie on top of it where they coincide.
    names = sorted(names, key=lambda n: n != "train/loss")
    lowest = np.inf
    for i, name in enumerate(names):
        step, value = series(rows, name)
        color = {"train/loss": INK, "val/loss": MUTED}.get(name, CYCLE[(i - 1) % len(CYCLE)])
        ax.plot(step, value, color=color, linestyle="--" if name == "val/loss" else "-", **mark(step))
        ends.append((value[-1], name.replace("train/", "").replace("val/loss", "loss, val"), color))
        lowest = min(lowest, float(value.min()))
    ax.set_title("Loss and its terms" if len(names) > 1 + ("val/loss" in names) else "Loss")
    if lowest > 0 and ax.dataLim.height > 20 * lowest:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=min(0, lowest))
    ax.margins(x=0.01)
    label_ends(ax, ends)


def metric_panel(ax: Axes, rows: list[Row], key: str) -> None:
    ends = []
    for split, color in (("train", "#9ca3af"), ("val", BLUE)):
        step, value = series(rows, f"{split}/{key}")
        if len(step):
            ax.plot(step, value, color=color, zorder=3 if split == "val" else 2, **mark(step))
            ends.append((value[-1], f"{split} {value[-1]:.3g}", color if split == "val" else MUTED))
    ax.set_title(PANELS.get(key) or f"Accuracy, {key.removeprefix('acc_')}")
    ax.margins(x=0.01)
    lo, hi = ax.get_ylim()
    if key in ("ev", "f1", "map") or key.startswith(
        "acc"
    ):  # the interesting part is near 1; a poor start must not squash it
        late = np.concatenate([series(rows, f"{split}/{key}")[1][1:] for split in ("train", "val")])
        ax.set_ylim(max(lo, float(np.quantile(late, 0.02)) - 0.02) if len(late) else lo, min(hi, 1.005))
    else:
        ax.set_ylim(0, max(1.1 * hi, 0.05))
    label_ends(ax, ends)


def mark(step: np.ndarray) -> dict[str, Any]:
    """Few points are shown as points."""
    return {"marker": "o", "markersize": 3} if len(step) <= 20 else {}
