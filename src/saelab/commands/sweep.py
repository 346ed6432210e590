"""The end of a multirun: one table, one figure, one page over all its jobs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from saelab.commands.outcome import shown
from saelab.commands.studies import studies
from saelab.report import compare
from saelab.run import Run

console = Console(soft_wrap=True, highlight=False)
HEADLINES = (
    "test/ev",
    "test/l0",
    "test/dead",
    "separation/test/score",
    "truth/mcc",
    "truth/f1",
    "test/acc_recovered",
    "test/acc",
)


def summarise(sweep_dir: Path) -> None:
    """Write `sweep.csv`, studies of it and the comparison page from what the jobs left, and show both."""
    rows = [_row(path) for path in sorted(sweep_dir.glob("[0-9]*")) if (path / "run.json").exists()]
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (sweep_dir / "sweep.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    _show(rows, sweep_dir)
    finished = [sweep_dir / row["job"] for row in rows if row["status"] == "finished"]
    if len(finished) > 1:
        studies(sweep_dir / "sweep.csv")
        page = compare(finished, sweep_dir / "report.html", table=sweep_dir / "sweep.csv")
        console.print(f"report     {shown(page)}")


def _row(path: Path) -> dict[str, Any]:
    run = Run.open(path)
    swept = dict(
        o.lstrip("+").split("=", 1) for o in run.info.get("overrides", []) if "=" in o and not o.startswith("~")
    )
    facts = {"job": path.name, **swept, "status": run.info["status"], "wall_s": run.info["wall_s"]}
    return facts | run.metrics | {"run": str(path)}


def _show(rows: list[dict[str, Any]], sweep_dir: Path) -> None:
    varied = [k for k in rows[0] if k in _varied(rows)]
    shown_metrics = [m for m in HEADLINES if any(m in row for row in rows)]
    table = Table(title=f"{sweep_dir.parent.name}: {len(rows)} jobs", title_justify="left")
    for name in ("job", *varied, "status", *shown_metrics):
        table.add_column(name.removeprefix("test/").removeprefix("truth/").removeprefix("separation/test/"))
    for row in rows:
        metrics = [f"{row[m]:.4g}" if m in row else "" for m in shown_metrics]
        table.add_row(row["job"], *(str(row.get(k, "")) for k in varied), row["status"], *metrics)
    console.print(table)
    console.print(f"sweep.csv  {shown(sweep_dir / 'sweep.csv')}")


def _varied(rows: list[dict[str, Any]]) -> set[str]:
    """Overrides that are not the same in every job."""
    keys = [k for k in rows[0] if "." in k or k in ("seed", "batch_size", "model", "data", "base", "experiment")]
    return {k for k in keys if len({str(row.get(k)) for row in rows}) > 1 and "/" not in k}
