"""The look that all figures share: quiet axes, a colour-blind-safe palette, labels beside what they name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea
from matplotlib.patches import Rectangle
from matplotlib.transforms import Transform

P = ParamSpec("P")

INK, MUTED, FAINT, PAPER = "#1f2328", "#6b7280", "#e5e7eb", "#ffffff"
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"  # Okabe & Ito
CYCLE = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, INK)
RAW, CODES, SINGLE = INK, BLUE, ORANGE  # raw activations, SAE codes, one latent: the same everywhere

WIDTH = 9.2  # inches; shown about 900 px wide, so 10 pt reads as 14 px
DPI = 200

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a figure looks the same everywhere
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#9ca3af",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw with the house style and leave the user's matplotlib settings alone."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    return inner


def new(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, sizes in inches, that no global state knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.04, hspace=0.06)  # type: ignore[union-attr]
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(RC):
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def sheet(height: float, xlim: tuple[float, float], ylim: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure of one set of axes for many images, where axes for every image would take most of the time."""
    figure = new(height)
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.04, wspace=0, hspace=0)  # type: ignore[union-attr]
    ax = figure.subplots()
    ax.set(xlim=xlim, ylim=ylim, aspect="equal")
    ax.axis("off")
    return figure, ax


def picture(ax: Axes, image: np.ndarray, extent: tuple[float, float, float, float] | None = None) -> None:
    """Show one image, grey `[h, w]` or colour `[h, w, 3]`, without ticks."""
    cmap = "gray_r" if image.ndim == 2 else None
    ax.imshow(image, cmap=cmap, vmin=0, vmax=1, interpolation="nearest", extent=extent)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=FAINT, linewidth=0.6)


def placed(ax: Axes, image: np.ndarray, left: float, top: float, *, color: str | None = None) -> None:
    """Show one image, one wide, at a place of a sheet whose y runs downwards; with a colour, framed."""
    picture(ax, image, (left, left + 1, top + 1, top))
    edge, width = (color, 1.8) if color else (FAINT, 0.6)
    ax.add_patch(Rectangle((left, top), 1, 1, fill=False, edgecolor=edge, linewidth=width))


def names_above(
    ax: Axes,
    names: Sequence[tuple[str, str]],
    *,
    sep: float = 14,
    size: float = 8.5,
    at: tuple[float, float] = (0, 1),
    transform: Transform | None = None,
) -> None:
    """A line of (text, colour) above the axes, or a place in them, from the left: a legend without a box."""
    texts: list[Artist] = [
        TextArea(text, textprops={"color": color, "fontsize": size, "weight": "bold"}) for text, color in names
    ]
    line = HPacker(children=texts, pad=0, sep=sep)
    box = AnchoredOffsetbox(
        "lower left",
        child=line,
        pad=0,
        borderpad=0.15,
        frameon=False,
        bbox_to_anchor=at,
        bbox_transform=transform or ax.transAxes,
    )
    ax.add_artist(box)


def label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], x: float = 1.01) -> None:
    """Write (y, text, colour) labels right of the axes at the height of each line's end, spread so none overlap."""
    lo, hi = ax.get_ylim()
    scale = np.log10 if ax.get_yscale() == "log" else np.asarray
    at = sorted(
        (float((scale(max(y, lo)) - scale(lo)) / (scale(hi) - scale(lo))), text, color) for y, text, color in ends
    )
    places = spread([place for place, _, _ in at], gap=0.1)
    for place, (_, text, color) in zip(places, at, strict=True):
        ax.text(x, place, text, color=color, transform=ax.transAxes, va="center", ha="left", fontsize=8.5)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move sorted places apart to at least `gap`, keeping their centre and staying near [0, 1]."""
    out = np.array(places, dtype=float)
    for _ in range(100):
        overlap = gap - np.diff(out)
        if (overlap <= 1e-6).all():
            break
        push = np.clip(overlap, 0, None) / 2
        out[:-1] -= push
        out[1:] += push
    if len(out):
        out += max(0.0, -out[0]) - max(0.0, out[-1] - 1)
    return out.tolist()
