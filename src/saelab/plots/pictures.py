"""Pictures, what each stream makes of them, and what is missing."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from saelab.plots.read import read_arrays
from saelab.plots.style import FAINT, INK, MUTED, ORANGE, new, styled

ACROSS = 12
HEADINGS = {"test": "held-out pictures", "test_unseen": "with tags that no other split shows"}
LAYERS = {
    "x": "picture",
    "dense": "dense stream",
    "sparse": "sparse stream",
    "whole": "both",
    "error": "what is missing",
}
SIGNED = LinearSegmentedColormap.from_list("signed", [ORANGE, "white", INK])
ERROR = LinearSegmentedColormap.from_list("error", ["#2166ac", "white", "#b2182b"])


@styled
def pictures(run: Path) -> Figure:
    """From `figures/pictures.npz`: a block per split, a row per layer; samples of the prior last."""
    data = read_arrays(run / "figures/pictures.npz")
    splits = [str(name) for name in data["split"]]
    each = ACROSS // len(splits)
    layers = rows_of(data)
    has_prior = "prior" in data
    high, wide = data["x"].shape[2:]
    side = 0.66 * high / wide
    figure = new(side * (len(layers) + has_prior) + 0.75)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.015, wspace=0, hspace=0)  # type: ignore[union-attr]
    with mpl.rc_context({"axes.grid": False}):  # nor ticks to hang it on, which take a third of the time
        ratios = [1.9, *([1.0] * each + [0.25]) * len(splits)][:-1]
        grid = figure.subplots(len(layers) + has_prior, len(ratios), width_ratios=ratios, squeeze=False)
    for ax in grid.flat:
        ax.axis("off")
    limit = float(np.abs(data["x"]).max())
    for i, (name, layer) in enumerate(layers.items()):
        write(grid[i, 0], name)
        for s in range(len(splits)):
            for j in range(min(each, layer.shape[1])):
                ax = grid[i, 1 + s * (each + 1) + j]
                draw(ax, layer[s, j], limit, ERROR if name == LAYERS["error"] else SIGNED)
                if i == 0:
                    ax.set_title(str(data["label"][s, j]).replace(" tag", "\ntag"), fontsize=6.5, loc="center", pad=2)
    if has_prior:
        write(grid[-1, 0], "samples")
        at = [c for c in range(1, len(ratios)) if ratios[c] == 1]
        for c, image in zip(at, data["prior"], strict=False):
            draw(grid[-1, c], image, limit, SIGNED)
    for s, split in enumerate(splits):
        first = grid[0, 1 + s * (each + 1)]
        at = {"transform": first.transAxes, "fontsize": 9, "weight": "bold", "va": "bottom"}
        first.text(0, 1 + 0.24 / side, HEADINGS[split], **at, in_layout=False)
    figure.suptitle("below zero: orange\n ", x=0.995, ha="right", fontsize=8.5, color=MUTED)
    return figure


def rows_of(data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Layers by name, from the top; a stream that a model has not is left out."""
    data = data | {"error": data["x"] - data["whole"]}
    parts = {name.removeprefix("part_"): data[name] for name in data if name.startswith("part_")}
    shown = {LAYERS[name]: data[name] for name in LAYERS if data[name].any()}
    first = {LAYERS["x"]: shown.pop(LAYERS["x"])}
    return first | {f"its {name}": layer for name, layer in parts.items()} | shown


def draw(ax: Axes, image: np.ndarray, limit: float, colors: LinearSegmentedColormap) -> None:
    ax.axis("on")
    ax.imshow(image, cmap=colors, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=FAINT, linewidth=0.6)


def write(ax: Axes, text: str) -> None:
    ax.text(1, 0.5, text, ha="right", va="center", fontsize=8.5, color=INK, transform=ax.transAxes)
