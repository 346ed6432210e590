"""Read what a run left: tables, curves, arrays."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """The lines of a CSV, but a last one that a kill cut short; cells stay text, as a class may be called 7."""
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def number(cell: str | float | None) -> float:
    """A cell as a number; nan where it is empty or text."""
    try:
        return math.nan if cell is None or cell == "" else float(cell)
    except ValueError:
        return math.nan


def column(rows: list[Row], name: str) -> np.ndarray:
    """A column as numbers, nan where empty."""
    return np.array([number(row.get(name)) for row in rows])


def series(rows: list[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a curve, where it was logged; both empty if it never was."""
    step, value = column(rows, "step"), column(rows, name)
    there = np.isfinite(step) & np.isfinite(value)
    return step[there], value[there]
