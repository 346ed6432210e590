"""Draw every study that a table's folder has the data for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from saelab.plots.ablation import ablation
from saelab.plots.agreement import agreement, compared
from saelab.plots.codiscard import codiscard
from saelab.plots.controls import controls
from saelab.plots.draw import Drawing
from saelab.plots.families import families
from saelab.plots.matched import matched
from saelab.plots.parted import parted
from saelab.plots.separated import separated
from saelab.plots.sparsity import has_key, over_key, over_l0
from saelab.plots.style import save
from saelab.plots.survival import survival

STUDIES = {
    "ablation": Drawing("ablation.csv", ablation),
    "separation": Drawing("separation.csv", separated),
    "parted": Drawing("parted.csv", parted),
    "sparsity": Drawing("sparsity.csv", over_l0),
    "sparsity_key": Drawing("sparsity.csv", over_key),
    "survival": Drawing("survival.csv", survival),
    "families": Drawing("families.csv", families),
    "controls": Drawing("controls.csv", controls),
    "matched": Drawing("matched.csv", matched),
    "agreement": Drawing("agreement.csv", agreement),
    "codiscard": Drawing("codiscard.csv", codiscard),
}
WORTH: dict[str, Callable[[Path], bool]] = {"sparsity_key": has_key, "agreement": compared}


def draw_studies(folder: Path) -> dict[str, Path]:
    """Write `<name>.png` beside the CSV of every study in a folder; return what was written."""
    return {
        name: save(drawing.figure(folder), folder / f"{name}.png")
        for name, drawing in STUDIES.items()
        if (folder / drawing.data).exists() and WORTH.get(name, Path.exists)(folder)
    }
