"""Write tables and arrays beside the figures that are drawn from them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor


def write_csv(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """One line a row, columns in order of first appearance; a missing value or nan is an empty cell."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(lines(rows, columns, header=True))
    return path


def append_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Add rows to a table in one write; those that begin it have its columns, as all later ones must."""
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(lines(rows, list(rows[0]), header=file.tell() == 0))
    return path


def lines(rows: Iterable[Mapping[str, object]], columns: list[str], *, header: bool) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    if header:
        writer.writeheader()
    writer.writerows({k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in rows)
    return text.getvalue()


def write_npz(path: Path, arrays: Mapping[str, Tensor | np.ndarray | Iterable[str]]) -> Path:
    """Compressed arrays without pickles: tensors as they are, lists of names as fixed-width strings."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{name: to_numpy(value) for name, value in arrays.items()})  # type: ignore[arg-type]
    return path


def to_numpy(value: Tensor | np.ndarray | Iterable[str]) -> np.ndarray:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return value if isinstance(value, np.ndarray) else np.array(list(value), dtype=np.str_)
