"""The runs of a table: settings in lines from sparse to dense, and what each run says of its concepts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from saelab.plots.read import Row, number, read_rows
from saelab.plots.settings import Setting, by_setting, roles

Concept = tuple[str, str]  # family and name
CONTROLS = ("random", "control", "pca", "identity")  # models in which nothing is trained


class Point(NamedTuple):
    """A setting on its line: what is swept has the value `x`, nan if that is no number."""

    line: str
    x: float
    l0: float
    setting: Setting

    def by_seed(self, metric: str) -> dict[str, float]:
        """A metric of each seed; runs without it are left out."""
        found = {seed(row): number(row.get(metric)) for row in self.setting.rows}
        return {name: value for name, value in found.items() if math.isfinite(value)}


class Points(NamedTuple):
    """key: what is swept along a line.  lines: points by L0, the sparsest first.  concepts: of each run, by its row's
    `run`, the cells of its `concepts.csv`."""

    key: str
    lines: dict[str, list[Point]]
    concepts: Mapping[str, dict[Concept, Row]]

    @property
    def all(self) -> list[Point]:
        return [point for line in self.lines.values() for point in line]

    @property
    def metrics(self) -> list[str]:
        """Metrics of the runs, in the order of their columns."""
        rows = [row for point in self.all for row in point.setting.rows]
        names = dict.fromkeys(name for row in rows for name in row)
        return [name for name in names if "/" in name and any(math.isfinite(number(r.get(name))) for r in rows)]

    @property
    def families(self) -> dict[str, list[str]]:
        """The concepts that all runs know, by family."""
        known = list(self.concepts.values())
        common = [concept for concept in (known[0] if known else {}) if all(concept in table for table in known)]
        found: dict[str, list[str]] = {}
        for family, name in common:
            found.setdefault(family, []).append(name)
        return found

    def told(self, point: Point) -> dict[str, dict[Concept, Row]]:
        """By seed, the concepts of a point's runs."""
        rows = [row for row in point.setting.rows if row["run"] in self.concepts]
        return {seed(row): self.concepts[row["run"]] for row in rows}


def points(table: Path) -> Points:
    """Read a `sweep.csv` and, of each finished run in it, the concepts."""
    rows = [row for row in read_rows(table) if row.get("status", "finished") == "finished"]
    rows = [row | {"run": str(directory(row, table.parent))} for row in rows]
    if not rows:
        return Points("", {}, {})
    settings = by_setting(rows)
    names, value = roles(settings) if settings[0].keys else ([], [])
    key = value[0] if len(value) == 1 else ""
    lines: dict[str, list[Point]] = {}
    for setting in settings:
        line = ", ".join(called(name, setting.keys[name]) for name in names if setting.keys[name])
        point = Point(line, number(setting.keys.get(key)), setting.mean("test/l0"), setting)
        lines.setdefault(line, []).append(point)
    lines = {line: sorted(ours, key=lambda p: (p.l0, p.x)) for line, ours in lines.items()}
    return Points(key, lines, concepts(rows))


def concepts(rows: list[Row]) -> dict[str, dict[Concept, Row]]:
    """The `concepts.csv` of the runs that have one and say there what is recovered."""
    found = {}
    for row in rows:
        file = Path(row["run"]) / "figures/concepts.csv"
        table = read_rows(file) if file.exists() else []
        if table and "recovered" in table[0]:
            found[row["run"]] = {(cells["family"], cells["concept"]): cells for cells in table}
    return found


def directory(row: Row, folder: Path) -> Path:
    """A run's directory: where it was, or, of a sweep that was moved, beside the table that names it."""
    path = Path(row["run"])
    return path if path.exists() else folder / row["job"]


def called(name: str, value: str) -> str:
    """A key with its value, the last part of its name; of a choice the value alone."""
    short = name.rpartition(".")[2]
    return value.rpartition(".")[2] if short in ("model", "_target_", "data") else f"{short} {value}"


def seed(row: Row) -> str:
    """What tells a setting's runs apart: their seeds, else nothing."""
    return ",".join(value for name, value in row.items() if name.endswith("seed") and "/" not in name)


def yes(row: Row, name: str) -> bool:
    """A cell that is true."""
    return row.get(name, "") in ("True", "true", "1", "1.0")


def control(setting: Setting) -> bool:
    """Whether the setting's SAE is not trained."""
    cells = [v for k, v in setting.keys.items() if k == "model" or k.endswith("_target_")]
    return any(cell.rpartition("saelab.sae.")[2].lower().startswith(CONTROLS) for cell in cells)
