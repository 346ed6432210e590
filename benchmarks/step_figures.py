"""Figures of `benchmarks/results/steps.json`: `docs/steps.png` and, where it was measured, `docs/scaling.png`.

python benchmarks/step_figures.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(ROOT / "src")]

from matplotlib.figure import Figure  # noqa: E402

from saelab.plots.style import AMBER, BLUE, GREEN, INK, ORANGE, PINK, SKY, names_above, new, save, styled  # noqa: E402

COLOR = {
    "saelab": BLUE,
    "saelab, products as shipped": SKY,
    "sparsify": ORANGE,
    "dictionary-learning": GREEN,
    "sae-lens": PINK,
    "overcomplete": AMBER,
}
VARIANTS = {
    "topk": "TopK\nk = 32",
    "batchtopk": "BatchTopK\nk = 32",
    "jumprelu": "JumpReLU\nL0 32",
    "matryoshka": "Matryoshka\n4 levels, k = 32",
    "relu": "ReLU\nL0 100",
    "relu_dense": "ReLU\nhalf of the codes",
}


@styled
def bars(rows: list[dict[str, Any]]) -> Figure:
    """One row of axes a size, a group of bars a variant."""
    sizes = list(dict.fromkeys((r["d_in"], r["d_sae"], r["batch"]) for r in rows))
    figure = new(2.3 * len(sizes) + 0.3)
    for ax, size in zip(figure.subplots(len(sizes), 1, squeeze=False)[:, 0], sizes, strict=True):
        for x, variant in enumerate(VARIANTS):
            cell = {
                r["library"]: r["ratio"]
                for r in rows
                if (r["d_in"], r["d_sae"], r["batch"]) == size and r["variant"] == variant
            }
            shown = [name for name in COLOR if name in cell]
            for i, name in enumerate(shown):
                ax.bar(x + (i - (len(shown) - 1) / 2) * 0.14, cell[name], 0.13, color=COLOR[name])
            if "saelab" in cell:
                left = x - (len(shown) - 1) / 2 * 0.14
                ax.annotate(f"{cell['saelab']:.1f}", (left, cell["saelab"]), ha="center", va="bottom", fontsize=8)
        ax.axhline(1, color=INK, linewidth=0.8, zorder=0.5)
        ax.margins(y=0.12)
        ax.set(xticks=range(len(VARIANTS)), xticklabels=list(VARIANTS.values()), ylabel="dense-limit ratio")
        ax.set_title(
            "d = {:,}, {:,} latents, batches of {:,}".format(*size),
            pad=22 if ax.get_subplotspec().is_first_row() else 8,
        )
        ax.grid(axis="x", visible=False)
        if ax.get_subplotspec().is_first_row():
            names_above(ax, list(COLOR.items()))
    return figure


@styled
def scaling(rows: list[dict[str, Any]], d: int, n: int, batch: int) -> Figure:
    """Rows per second over the width of the dictionary and over the batch size."""
    figure = new(3.1)
    panels = {"d_sae": ("latents", batch), "batch": ("batch size", n)}
    for ax, (key, (label, held)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        other = "batch" if key == "d_sae" else "d_sae"
        for name, color in COLOR.items():
            line = sorted((r[key], r["samples_per_s"]) for r in rows if r["library"] == name and r[other] == held)
            if line:
                ax.plot(*zip(*line, strict=True), marker="o", markersize=3, color=color)
        ax.set(xscale="log", yscale="log", xlabel=label, ylabel="rows per second" if key == "d_sae" else "")
        ticks = sorted({r[key] for r in rows if r[other] == held})
        ax.set_xticks(ticks, [f"{t // 1024}k" for t in ticks])
        ax.minorticks_off()
        what = f"batches of {held:,}" if key == "d_sae" else f"{held:,} latents"
        ax.set_title(f"TopK, k = 32, d = {d}, {what}", pad=22)
    names = list(COLOR.items())
    for ax, part in zip(figure.axes, (names[:3], names[3:]), strict=True):
        names_above(ax, part, size=8, sep=10)
    return figure


def main() -> None:
    found = json.loads((ROOT / "benchmarks/results/steps.json").read_text())
    print(save(bars(found["rows"]), ROOT / "docs/steps.png"))
    if found["scaling"]:
        print(save(scaling(found["scaling"], 512, 4096, 4096), ROOT / "docs/scaling.png"))


if __name__ == "__main__":
    main()
