"""`report`: pages redrawn from the CSV and JSON that runs left."""

from __future__ import annotations

import glob
import webbrowser
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from saelab.commands.studies import studies
from saelab.config import ConfigError, command
from saelab.plots.read import read_rows
from saelab.report import compare, join_tables, page, tabulate


@command("report")
def main(cfg: DictConfig) -> dict[str, float]:
    """Redraw the figures and report.html of a run (run=...), or compare many on one page (runs='...')."""
    if (cfg.run is None) == (cfg.runs is None):
        raise ConfigError(
            "Give either run=DIRECTORY or runs='PATTERN', e.g. run=logs/runs/quickstart/2026-01-31_12-00-00."
        )
    try:
        made = page(Path(cfg.run)) if cfg.run else _compare(cfg)
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from error
    Console(soft_wrap=True).print(f"report  {made}")
    if cfg.open:
        webbrowser.open(made.resolve().as_uri())
    return {}


def _compare(cfg: DictConfig) -> Path:
    out = Path(cfg.out) if cfg.out else Path(cfg.paths.log_dir) / "comparison.html"
    paths = sorted({Path(p) for pattern in cfg.runs.split() for p in glob.glob(pattern)})
    found = [path for path in paths if (path / "run.json").exists()]
    sweeps = [path / "sweep.csv" for path in paths if (path / "sweep.csv").exists()]
    if not found and not sweeps:
        raise ConfigError(f"runs='{cfg.runs}' matches no directory of a run or of a sweep.")
    table = out.with_suffix(".csv")
    if sweeps:
        join_tables(sweeps, table)
    elif tables := tables_of(found):
        join_tables(tables, table, found)
    else:
        tabulate(found, table)
    studies(table)
    return compare([], out, table=table)


def tables_of(runs: list[Path]) -> list[Path]:
    """The `sweep.csv` of sweeps that runs are jobs of, which say what was varied; none if a run is in no table."""
    tables = [table for table in sorted({run.parent / "sweep.csv" for run in runs}) if table.exists()]
    listed = {table.parent / row["job"] for table in tables for row in read_rows(table)}
    return tables if listed.issuperset(runs) else []
