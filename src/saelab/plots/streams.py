"""Which part of the data is in which stream, beside chance and the truth; and what it costs in bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saelab.plots.read import Row, column, number, read_rows
from saelab.plots.style import BLUE, FAINT, INK, MUTED, ORANGE, label_ends, names_above, new, styled

NAMES = {
    "sae": "this SAE",
    "chance": "random\ndirections",
    "linear": "linear maps,\nfrom the truth",
    "lasso": "true directions,\nlasso codes",
}
PARTS = {  # of a true part: the stream it belongs in, what the other one adds
    "z": ("dense_r2", "z_leak", "The dense part, z", "sparse code adds"),
    "s": ("s_in_sparse", "s_leak", "The sparse part, s", "dense code adds"),
}
COLORS = {"sae": BLUE, "lasso": ORANGE, "linear": INK, "chance": MUTED}
MOST_BITS = 96


@styled
def streams(run: Path) -> Figure:
    """From `figures/streams.csv` and `rate.csv`: shares of z and s by stream, and EV over bits."""
    rows = {row["code"]: row for row in read_rows(run / "figures/streams.csv")}
    figure = new(2.9)
    z, s, bits = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    for ax, part in ((z, "z"), (s, "s")):
        shares(ax, rows, part)
    s.set_yticklabels([])
    rate(bits, read_rows(run / "figures/rate.csv"))
    return figure


def shares(ax: Axes, rows: dict[str, Row], part: str) -> None:
    """A bar per candidate: R² from the stream it belongs in, then what the other stream adds; the rest is lost."""
    own, leak, name, other = PARTS[part]
    shown = [code for code in NAMES if code in rows]
    place = np.arange(len(shown))
    right = np.clip([number(rows[code][own]) for code in shown], 0, 1)
    wrong = np.clip([number(rows[code][leak]) for code in shown], 0, 1)
    ax.barh(place, np.ones(len(shown)), color=FAINT, height=0.62, alpha=0.5)
    ax.barh(place, right, color=BLUE, height=0.62)
    ax.barh(place, wrong, left=right, color=ORANGE, height=0.62)
    ax.set_yticks(place, [NAMES[code] for code in shown])
    ax.tick_params(axis="y", labelcolor=INK)
    ax.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5), xticks=(0, 0.5, 1))
    ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
    ax.grid(visible=False)
    ax.set_title(name, pad=22)
    mine = {"z": "dense code", "s": "sparse code"}[part]
    names_above(ax, [(mine, BLUE), (other, ORANGE)], sep=8, size=7.5)


def rate(ax: Axes, rows: list[Row]) -> None:
    """EV over bits a row; what a row costs when every code is quantised alike and coded by itself."""
    ends = []
    for code, color in COLORS.items():
        ours = [row for row in rows if row["code"] == code]
        bits, ev = column(ours, "bits"), column(ours, "ev")
        keep = (bits <= MOST_BITS) & (ev >= 0)
        if not keep.any():
            continue
        ax.plot(bits[keep], ev[keep], color=color)
        label = {"sae": "this SAE", "lasso": "lasso", "linear": "principal axes", "chance": "random"}[code]
        ends.append((float(ev[keep][-1]), label, color))
    ax.set(ylim=(0, 1.03), xlim=(0, MOST_BITS), xlabel="bits a row")
    ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
    ax.set_title("Variance explained at a rate", pad=22)
    label_ends(ax, ends)
