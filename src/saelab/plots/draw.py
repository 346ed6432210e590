"""Draw every figure that a run directory has the data for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from saelab.plots.ablation_run import ablation_run
from saelab.plots.concepts import concepts, scored
from saelab.plots.confusion import confusion
from saelab.plots.curves import curves, drawable
from saelab.plots.density import density
from saelab.plots.dynamics import emergence, retention
from saelab.plots.examples import examples
from saelab.plots.latents import latents
from saelab.plots.pictures import pictures
from saelab.plots.read import read_rows
from saelab.plots.separation import separation
from saelab.plots.source import source
from saelab.plots.streams import streams
from saelab.plots.style import save
from saelab.plots.sweep import sweep
from saelab.plots.truth import truth


class Drawing(NamedTuple):
    """A figure and the file of the run that it is drawn from."""

    data: str
    figure: Callable[[Path], Figure]


DRAWINGS = {
    "source": Drawing("figures/source.npz", source),
    "curves": Drawing("metrics.csv", curves),
    "density": Drawing("figures/density.csv", density),
    "truth": Drawing("figures/truth.csv", truth),
    "streams": Drawing("figures/streams.csv", streams),
    "pictures": Drawing("figures/pictures.npz", pictures),
    "separation": Drawing("figures/readouts.csv", separation),
    "latents": Drawing("figures/latents.npz", latents),
    "examples": Drawing("figures/examples.npz", examples),
    "concepts": Drawing("figures/concepts.csv", concepts),
    "ablation": Drawing("figures/ablation.csv", ablation_run),
    "emergence": Drawing("figures/concept_dynamics.csv", emergence),
    "retention": Drawing("figures/concept_dynamics.csv", retention),
    "confusion": Drawing("figures/confusion.csv", confusion),
}


def draw(run: Path) -> dict[str, Path]:
    """Write `figures/<name>.png` for every drawing whose data the run holds; return what was written."""
    return {
        name: save(drawing.figure(run), run / f"figures/{name}.png")
        for name, drawing in DRAWINGS.items()
        if has_rows(run / drawing.data)
    }


def draw_sweep(table: Path) -> Path:
    """Write `sweep.png` beside a `sweep.csv`."""
    return save(sweep(table), table.with_suffix(".png"))


def has_rows(path: Path) -> bool:
    """A table that a run was stopped before filling is as good as none; so are curves and concepts without a point."""
    if not path.exists() or path.suffix != ".csv":
        return path.exists()
    rows = read_rows(path)
    drawn = {"metrics.csv": drawable, "concepts.csv": scored}.get(path.name)
    return bool(rows) if drawn is None else any(drawn(rows))
