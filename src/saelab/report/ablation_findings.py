"""What keeping a concept from SAEs did, in sentences and as a table, with what is not significant."""

from __future__ import annotations

import math

from saelab.plots.ablation import UNTOUCHED
from saelab.plots.read import Row, number
from saelab.report.compare_findings import lower
from saelab.report.study_tables import SIGNIFICANT, Cell, Table, Tables, unique
from saelab.report.words import MISSING, count, together

NAMES = {
    "best_auc": "The AUC of its best latent",
    "ev": "Variance explained of its own rows",
    "probe_auc": "The AUC of a probe on all codes",
}


def ablations(tables: Tables) -> list[str]:
    """Which ways hit the concept alone, which hit the others as well, and whether it came back."""
    rows = [row for row in tables["ablation"] if row["how"] != UNTOUCHED and row["mean"]]
    said = []
    for where, measure in unique(rows, "where", "measure"):
        if measure in NAMES:
            after = [r for r in rows if (r["where"], r["measure"], r["phase"]) == (where, measure, "after")]
            said.append(f"{NAMES[measure]}{f', with {where}' if where else ''}: {'; '.join(verdicts(after))}.")
    said += came_back([row for row in rows if row["phase"] == "end" and row["measure"] in NAMES])
    empty = [row for row in rows if row["how"] == "penalise" and row["penalised"] and not number(row["penalised"])]
    for (where,) in unique(empty, "where"):
        said.append(f"{f'With {where}, no' if where else 'No'} latent was pure for the concept when penalties began.")
    return said


def lead(tables: Tables) -> list[str]:
    """The way that hits a concept most and alone, what that does to its best latent, and whether it comes back."""
    rows = [row for row in tables.get("ablation", []) if row["how"] != UNTOUCHED and row["mean"]]
    if not rows:
        return []
    cell = {(r["where"], r["how"], r["measure"], r["phase"], r["who"]): r for r in rows}
    sure = [r for r in rows if (r["measure"], r["phase"], r["who"]) == ("ev", "after", "selectivity")]
    sure = [r for r in sure if number(r["q"]) < SIGNIFICANT and number(r["mean"]) > 0]
    back = came_back([row for row in rows if row["phase"] == "end" and row["measure"] in NAMES])
    if not sure:
        return ["No way of keeping a concept from the SAE costs it significantly more than the others.", *back]
    most = max(sure, key=lambda row: number(row["mean"]))
    own, others, auc = (
        cell[most["where"], most["how"], *key]
        for key in (("ev", "after", "target"), ("ev", "after", "bystanders"), ("best_auc", "after", "target"))
    )
    doubt = "" if number(auc["q"]) < SIGNIFICANT else f", which is not significant (q = {number(auc['q']):.2g})"
    text = (
        f"The concept is lost most selectively by {place(most)}: variance explained of its own rows {points(own)} "
        f"points, of the others' {points(others)}; the AUC of its best latent {points(auc)}{doubt}."
    )
    return [text, *back]


def verdicts(after: list[Row]) -> list[str]:
    """Ways that lower the concept more than the others, those that lower both alike, and the rest."""
    cell = {(row["how"], row["who"]): row for row in after}
    alone, alike, rest = [], [], []
    for (how,) in unique(after, "how"):
        target, others, more = (cell[how, who] for who in ("target", "bystanders", "selectivity"))
        lower = number(target["q"]) < SIGNIFICANT and number(target["mean"]) < 0
        if lower and number(more["q"]) < SIGNIFICANT and number(more["mean"]) > 0:
            alone.append(f"{how} ({points(target)} points, the others {points(others)})")
        elif number(others["q"]) < SIGNIFICANT and number(others["mean"]) < 0:
            alike.append(f"{how} ({points(target)} points, the others {points(others)})")
        else:
            rest.append(how)
    if not alone and not alike:
        return ["nothing lowers it significantly"]
    told = [f"lowered more than the others' by {together(alone)}"] if alone else ["nothing lowers the concept's alone"]
    told += [f"lowered with the others' by {together(alike)}"] if alike else []
    return told + ([f"not significantly (q ≥ {SIGNIFICANT}) by {together(rest)}"] if rest else [])


def came_back(end: list[Row]) -> list[str]:
    """Whether anything is missing at the end of training."""
    ours = [row for row in end if row["who"] == "target"]
    left = [r for r in ours if number(r["q"]) < SIGNIFICANT and number(r["mean"]) < 0]
    if not ours:
        return []
    if not left:
        smallest = min(number(r["q"]) for r in ours if r["q"])
        return [
            f"Once given back, the concept is as in the untouched runs: none of {count(len(ours), 'difference')} at "
            f"the end of training is a significant loss (smallest q = {smallest:.2g})."
        ]
    what = [f"{place(row)}: {lower(NAMES[row['measure']])} {points(row)} points" for row in left]
    return [f"Not all came back by the end of training: {together(what)}."]


def place(row: Row) -> str:
    return row["how"] + (f" ({row['where']})" if row["where"] else "")


def points(row: Row) -> str:
    """A difference in points, with its interval."""
    mean, low, high = (100 * number(row[name]) for name in ("mean", "low", "high"))
    return f"{mean:+.2g}" + (f" ({low:+.2g} to {high:+.2g})" if math.isfinite(low) else "")


def ablations_table(tables: Tables) -> Table | None:
    """A line per setting and way; of each measure the concept, the others, and the concept at the end; in points."""
    rows = [row for row in tables["ablation"] if row["how"] != UNTOUCHED]
    cell = {(r["where"], r["how"], r["measure"], r["phase"], r["who"]): r for r in rows}
    head = {"best_auc": "AUC", "ev": "EV"}
    columns = [(m, *place) for m in head for place in (("after", "target"), ("after", "bystanders"), ("end", "target"))]
    names = {
        ("after", "target"): "concept",
        ("after", "bystanders"): "others",
        ("end", "target"): "concept, given back",
    }
    lines = [
        [Cell(where), Cell(how), *(difference(cell.get((where, how, *column))) for column in columns)]
        for where, how in unique(rows, "where", "how")
    ]
    heads = [f"{head[m]}, {names[phase, who]}" for m, phase, who in columns]
    return Table(2, ["setting", "how", *heads], lines) if rows else None


def difference(row: Row | None) -> Cell:
    if row is None or not row["mean"]:
        return Cell(MISSING)
    half = 50 * (number(row["high"]) - number(row["low"]))
    spread = f" ± {half:.1f}" if math.isfinite(half) else ""
    return Cell(f"{100 * number(row['mean']):+.1f}{spread}", number(row["q"]) < SIGNIFICANT)
