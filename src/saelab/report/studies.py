"""The studies of concepts over many runs, as sections of the page that compares them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from saelab.plots.read import Row, read_rows
from saelab.plots.studies import STUDIES, draw_studies
from saelab.report.ablation_findings import ablations, ablations_table
from saelab.report.page import image
from saelab.report.parted_study import parted_table, parts
from saelab.report.separation_study import separation_table, separations
from saelab.report.study_findings import (
    agreements,
    codiscards,
    families,
    matched_variants,
    sparsities,
    vanished,
)
from saelab.report.study_tables import Table, halves_table, matched_table, trained_table, vanishing_table
from saelab.report.trained_findings import trained

Tables = dict[str, list[Row]]


class Study(NamedTuple):
    heading: str
    caption: str
    findings: Callable[[Tables], list[str]]
    table: Callable[[Tables], Table | None]


def none(_: Tables) -> None:
    return None


def silent(_: Tables) -> list[str]:
    return []


SECTIONS = {
    "ablation": Study(
        "A concept that was kept from the SAE for a while",
        "Differences to the same run untouched (same seed): of the concept, and the mean of the others of its family, "
        "which an intervention should leave alone. Selectivity: how much more the concept lost. AUC is of the best "
        "single latent; explained variance of the concept's own rows.",
        ablations,
        ablations_table,
    ),
    "separation": Study(
        "Which part is in which stream?",
        "Signal to distortion of each component from the stream that is for it, the median over held-out pictures; and "
        "how often linear read-outs, fitted on training rows, tell the class from either code.",
        separations,
        separation_table,
    ),
    "parted": Study(
        "Which part is in which code?",
        "R² of lines, fitted on other rows, from each code to the dense part z and to the sparse part s; a code should "
        "know its own part alone. AP: of codes, matched to features, as detectors of them. Below the models: random "
        "directions, and what is known with the truth.",
        parts,
        parted_table,
    ),
    "sparsity": Study(
        "Concepts and sparsity",
        "A concept is recovered if a latent has a held-out AUC above 0.95 for it and for no other concept, and "
        "detected if a latent has one above 0.85.",
        sparsities,
        none,
    ),
    "sparsity_key": Study("The same over what was swept", "Collapsed settings included.", silent, none),
    "survival": Study(
        "At which sparsity each concept vanishes",
        "The table gives the smallest L0 at which a concept is recovered: geometric mean over the seeds that ever "
        "recover it, with a 95 % interval; in brackets how many of the seeds do, where not all.",
        vanished,
        vanishing_table,
    ),
    "families": Study(
        "Which family goes first",
        "The L0 at which the share of a family's concepts has fallen to half of its largest, and the ratio of these.",
        families,
        halves_table,
    ),
    "controls": Study(
        "Trained beside untrained",
        "Untrained SAEs of the same width, whose thresholds are set to the same density, paired seed by seed.",
        trained,
        trained_table,
    ),
    "matched": Study(
        "Variants at equal L0",
        "Each run beside BatchTopK's curve of the same seed at the run's own L0; means over a variant's settings.",
        matched_variants,
        matched_table,
    ),
    "agreement": Study(
        "The same dictionary?",
        "Living latents of two SAEs matched one to one so that the cosines of their decoder rows are largest.",
        agreements,
        none,
    ),
    "codiscard": Study(
        "Which concepts are discarded together",
        "A run discards what it does not recover. Chance permutes each concept's discarding among the runs of one "
        "setting; q controls the false discovery rate over all pairs.",
        codiscards,
        none,
    ),
}


def study_sections(folder: Path) -> list[dict[str, Any]]:
    """Draw the studies of a table's folder; each with its heading, finding, figure, table and the CSV behind it."""
    drawn = draw_studies(folder)
    tables = {file.stem: read_rows(file) for file in folder.glob("*.csv")}
    return [
        {
            "heading": study.heading,
            "caption": study.caption,
            "findings": study.findings(tables),
            "image": image(drawn[name]),
            "table": study.table(tables),
            "data": f"{folder.name}/{STUDIES[name].data}",
        }
        for name, study in SECTIONS.items()
        if name in drawn
    ]
