"""Tables below the figures of the studies: cells as text, a header and lines."""

from __future__ import annotations

import math
from typing import NamedTuple

from saelab.plots.read import Row, number
from saelab.plots.settings import scale_of, title
from saelab.report.words import MISSING

SIGNIFICANT = 0.05
Tables = dict[str, list[Row]]


class Cell(NamedTuple):
    text: str
    strong: bool = False


class Table(NamedTuple):
    """texts: how many of the columns, from the left, are words."""

    texts: int
    head: list[str]
    lines: list[list[Cell]]


def unique(rows: list[Row], *names: str) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def vanishing_table(tables: Tables) -> Table | None:
    """A line per concept, the longest-lived first, a column per treatment."""
    rows = tables.get("vanishing", [])
    names = [line for (line,) in unique(rows, "line")]
    families = [family for (family,) in unique(rows, "family")]
    cell = {(row["family"], row["concept"], row["line"]): l0_cell(row) for row in rows}
    order = sorted(unique(rows, "family", "concept"), key=lambda c: (families.index(c[0]), life(rows, c)))
    lines = [[Cell(f), Cell(c), *(Cell(cell.get((f, c, line), MISSING)) for line in names)] for f, c in order]
    return Table(2, ["family", "concept", *(name or "recovered down to L0" for name in names)], lines) if rows else None


def life(rows: list[Row], concept: tuple[str, ...]) -> float:
    """Mean log L0 down to which a concept is recovered; a seed that never does counts as ten times the densest."""
    total = count = 0.0
    for row in rows:
        if (row["family"], row["concept"]) == concept:
            ever, seeds = number(row["ever"]), number(row["seeds"])
            total += ever * math.log(number(row["l0"])) if ever else 0.0
            total += (seeds - ever) * math.log(10 * number(row["densest"]))
            count += seeds
    return total / count if count else math.inf


def l0_cell(row: Row) -> str:
    ever, seeds = int(float(row["ever"])), int(float(row["seeds"]))
    if not ever:
        return "never"
    text = l0_interval(row)
    return text if ever == seeds else f"{text} [{ever}/{seeds}]"


def l0_interval(row: Row) -> str:
    low, high = number(row["low"]), number(row["high"])
    return short(number(row["l0"])) + (f" ({short(low)} to {short(high)})" if math.isfinite(low) else "")


def short(value: float) -> str:
    """Three digits, without an exponent."""
    return MISSING if math.isnan(value) else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def halves_table(tables: Tables) -> Table | None:
    """Of each line the L0 at half for each family, and their ratio with its interval."""
    rows = tables.get("halves", [])
    lines = []
    for row in rows:
        sure = number(row["q"]) < SIGNIFICANT
        seeds = f"{int(float(row['n']))} of {int(float(row['seeds']))}"
        largest = "" if not row.get("largest") else f"{100 * number(row['largest']):.0f}\N{NO-BREAK SPACE}%"
        first = [Cell(row["line"]), Cell(row["measure"]), Cell(row["family"])]
        lines.append([*first, Cell(l0_interval(row), sure), Cell(seeds), Cell(largest), Cell(p_cell(row))])
    head = ["line", "concepts", "family or ratio", "L0 at half", "seeds that fall so far", "largest share", "q"]
    return Table(3, head, lines) if rows else None


def p_cell(row: Row) -> str:
    q = number(row["q"])
    return "" if math.isnan(q) else f"{q:.3f}" if q >= 0.001 else "< 0.001"


def trained_table(tables: Tables) -> Table | None:
    """A line per measure, a column per trained model and control: differences over all densities."""
    rows = [row for row in tables.get("controls", []) if row["l0"] == "all"]
    columns = unique(rows, "line", "control")
    several = len({line for line, _ in columns}) > 1
    cell = {(row["measure"], row["line"], row["control"]): difference_cell(row) for row in rows}
    value = {(row["measure"], row["line"]): row["trained"] for row in rows}
    head = ["trained minus untrained", "trained"]
    head += [f"{line} - {control}" if several else control for line, control in columns]
    lines = [
        [
            Cell(title(measure)),
            Cell(level(measure, number(value.get((measure, columns[0][0]))))),
            *(cell.get((measure, line, control), Cell(MISSING)) for line, control in columns),
        ]
        for (measure,) in unique(rows, "measure")
    ]
    return Table(1, head, lines) if rows else None


def matched_table(tables: Tables) -> Table | None:
    """A line per variant, a column per measure: differences to BatchTopK over the variant's settings."""
    rows = [row for row in tables.get("matched", []) if row["l0"] == "all"]
    measures = [m for (m,) in unique(rows, "measure")]
    cell = {(row["line"], row["measure"]): difference_cell(row) for row in rows}
    lines = [[Cell(v), *(cell.get((v, m), Cell(MISSING)) for m in measures)] for (v,) in unique(rows, "line")]
    return Table(1, ["variant", *map(title, measures)], lines) if rows else None


def difference_cell(row: Row) -> Cell:
    """+1.2 ± 0.4, strong where q < 0.05; shares in points."""
    factor = scale_of(row["measure"]).factor
    mean, half = factor * number(row["mean"]), factor * (number(row["high"]) - number(row["low"])) / 2
    if math.isnan(half):
        return Cell(f"{mean:+.2g}")
    digits = min(4, max(0, 1 - math.floor(math.log10(half)))) if half > 0 else 2
    return Cell(f"{mean:+.{digits}f} ± {half:.{digits}f}", number(row["q"]) < SIGNIFICANT)


def level(measure: str, value: float) -> str:
    scale = scale_of(measure)
    return MISSING if math.isnan(value) else f"{scale.factor * value:.3g}{scale.unit}"
