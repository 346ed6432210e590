"""A contact sheet of labelled inputs, with what each was made of."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from saelab.plots.read import read_arrays
from saelab.plots.style import MUTED, new, picture, styled

ACROSS = 10


@styled
def source(run: Path, *, most: int = 40) -> Figure:
    """From `figures/source.npz`: images with labels; `part_<name>` arrays, if any, are shown below each image."""
    data = read_arrays(run / "figures/source.npz")
    parts = [name for name in data if name.startswith("part_")]
    layers = ["images", *parts]
    across = min(ACROSS, len(data["images"]))
    n = min(most if not parts else 2 * across, len(data["images"]))
    blocks = -(-n // across)
    figure = new((0.82 * len(layers) + 0.28) * blocks + 0.1)
    outer = figure.add_gridspec(blocks, 1)
    for block in range(blocks):
        first = block * across
        grid = outer[block].subgridspec(len(layers), across)
        for i, name in enumerate(layers):
            for j in range(min(across, n - first)):
                ax = figure.add_subplot(grid[i, j])
                picture(ax, data[name][first + j])
                if i == 0:
                    label = textwrap.fill(str(data["label"][first + j]), 14)
                    ax.set_title(label, fontsize=8.5 if len(label) < 9 else 6.5, loc="center", pad=3)
                if j == 0 and parts:
                    ax.set_ylabel("sum" if i == 0 else name.removeprefix("part_"), color=MUTED, fontsize=8)
    return figure
