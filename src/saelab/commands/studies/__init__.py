"""What many runs say about concepts, as tables that figures and pages are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from saelab.analysis.save import write_csv
from saelab.commands.studies.ablation import ablated, ablation
from saelab.commands.studies.agreement import agreement
from saelab.commands.studies.codiscard import codiscard
from saelab.commands.studies.controls import controls
from saelab.commands.studies.families import families, halves
from saelab.commands.studies.matched import matched
from saelab.commands.studies.parted import parted
from saelab.commands.studies.points import Points, points
from saelab.commands.studies.separation import separation
from saelab.commands.studies.sparsity import cliffs, sparsity
from saelab.commands.studies.vanishing import orders, survival, vanishing

STUDIES: dict[str, Callable[[Points], list[dict[str, Any]]]] = {
    "separation": separation,
    "parted": parted,
    "sparsity": sparsity,
    "cliffs": cliffs,
    "survival": survival,
    "vanishing": vanishing,
    "orders": orders,
    "codiscard": codiscard,
    "controls": controls,
    "families": families,
    "halves": halves,
    "matched": matched,
    "agreement": agreement,
    "ablation": ablation,
}


def studies(table: Path) -> Path:
    """Write `<name>.csv` of every study that the runs of a `sweep.csv` allow into the folder of the table's name.

    Runs with interventions are asked what these did and nothing else, as their settings are no scale of sparsity.
    """
    folder, found = table.with_suffix(""), points(table)
    asked = {"ablation"} if ablated(found) else {*STUDIES} - {"ablation"}
    for name, study in STUDIES.items():
        for old in (folder / f"{name}.csv", folder / f"{name}.png"):
            old.unlink(missing_ok=True)
        if name in asked and (rows := study(found)):
            write_csv(folder / f"{name}.csv", rows)
    return folder
