"""EV at matched L0, tables of several sweeps as one, and the figure of both."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from saelab.plots import draw_sweep
from saelab.plots.read import read_rows
from saelab.report import compare, join_tables
from saelab.report.matched import add_matched


def row(model: str, used: float, ev: float, **more: str) -> dict[str, str]:
    return {"model": model, "status": "finished", "test/l0": str(used), "test/ev": str(ev), "run": "x"} | more


def rivals() -> list[dict[str, str]]:
    """Two seeds at k = 10 with means (10, 0.8), one run at k = 40 of (40, 1.0)."""
    return [
        row("batchtopk", 9, 0.75, l0="10", seed="0"),
        row("batchtopk", 11, 0.85, l0="10", seed="1"),
        row("batchtopk", 40, 1.0, l0="40", seed="0"),
    ]


def test_matched_by_hand() -> None:
    rows = [*rivals(), row("relu", 20, 0.81, seed="0"), row("topk", 60, 0.9, seed="0"), row("omp", 0, 0.0, seed="0")]
    assert add_matched(rows)
    assert float(rows[3]["matched/ev"]) == pytest.approx(0.9)  # 20 is half way from 10 to 40 in logarithms
    assert float(rows[3]["matched/ratio"]) == pytest.approx(0.9)
    assert rows[4]["matched/ratio"] == rows[5]["matched/ratio"] == ""  # beyond the curve nothing is said


def test_nothing_is_matched_without_a_curve_or_without_others() -> None:
    assert not add_matched(rivals())
    one = [row("batchtopk", 10, 0.8, l0="10"), row("relu", 10, 0.8)]
    assert not add_matched(one)
    assert "matched/ev" not in one[0]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_two_sweeps_on_one_page(tmp_path: Path) -> None:
    curve = write(tmp_path / "a.csv", rivals())
    variants = write(tmp_path / "b.csv", [row("relu", 20, 0.81, seed="0"), row("relu", 20, 0.83, seed="1")])
    table = join_tables([curve, variants], tmp_path / "page.csv")
    assert len(read_rows(table)) == 5
    page = compare([], tmp_path / "page.html", table=table)
    assert math.isclose(float(read_rows(table)[3]["matched/ratio"]), 0.9, rel_tol=1e-6)
    assert "BatchTopK" in page.read_text()
    assert draw_sweep(table).exists()
