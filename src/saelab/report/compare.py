"""Many runs beside each other on one page."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saelab.plots import draw_sweep
from saelab.plots.read import Row, number, read_rows
from saelab.plots.sweep import BESIDES, title
from saelab.report.facts import Facts, facts
from saelab.report.page import image, render
from saelab.report.words import MISSING, count, figure, per_row, percent

LOWER = ("loss", "dead", "mse")  # is better
SHOWN = ("test/ev", "test/l0", "test/dead", "test/loss_recovered", "test/acc_recovered", "test/acc", "test/loss")
NO_SETTING = ("paths.", "hydra.", "logger.", "callbacks.", "name", "experiment")


def compare(runs: Sequence[Path], out: Path, *, table: Path | None = None) -> Path:
    """Write a page comparing runs to `out`, from `sweep.csv` (`table`), or else from the runs' own directories.

    The table and the figure of the latter lie beside the page, under its name.
    """
    if table is None:
        table = out.with_suffix(".csv")
        write_table([facts(run) for run in runs], table)
    rows = read_rows(table)
    finished = [row for row in rows if row.get("status", "finished") == "finished"]
    metrics = [m for m in columns(rows) if any(row.get(m) for row in finished)]
    png = draw_sweep(table) if metrics else None
    html = render(
        "compare.html.j2",
        title=out.parent.name if out.stem in ("report", "index") else out.stem,
        findings=findings(rows, finished, metrics),
        image=image(png) if png else None,
        settings=settings(rows),
        metrics={m: title(m) for m in metrics},
        rows=[cells(row, metrics, finished) for row in rows],
        data=table.name,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html, encoding="utf-8")
    return out


def columns(rows: list[Row]) -> list[str]:
    """The metrics worth a column: the headline ones and the accuracies of probes."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [m for m in SHOWN if m in names] + [m for m in names if m.startswith("probe/") and m.endswith("/acc")]


def settings(rows: list[Row]) -> list[str]:
    """The override columns in which the runs differ."""
    names = [n for n in (rows[0] if rows else {}) if "/" not in n and n not in BESIDES]
    return [name for name in names if len({row[name] for row in rows}) > 1]


def cells(row: Row, metrics: list[str], finished: list[Row]) -> dict[str, Any]:
    """A line of the page's table: its settings as they are, its metrics in words, the best of a column marked."""
    line: dict[str, Any] = {"row": row, "done": row.get("status", "finished") == "finished", "metrics": []}
    for metric in metrics:
        text = cell(metric, number(row.get(metric)))
        line["metrics"].append({"text": text, "best": row in best(metric, finished)})
    return line


def cell(metric: str, value: float) -> str:
    kind = metric.rpartition("/")[2]
    if math.isnan(value):
        return MISSING
    return per_row(value) if kind == "l0" else figure(value) if kind in ("loss", "mse") else percent(value)


def best(metric: str, finished: list[Row]) -> list[Row]:
    """The rows with the best value; none for L0, where fewer is not better by itself."""
    kind = metric.rpartition("/")[2]
    scored = [(number(row.get(metric)), row) for row in finished if not math.isnan(number(row.get(metric)))]
    if kind == "l0" or len(scored) < 2:
        return []
    top = (min if kind in LOWER else max)(value for value, _ in scored)
    return [row for value, row in scored if value == top]


def findings(rows: list[Row], finished: list[Row], metrics: list[str]) -> list[str]:
    """Which run is best at what, and what it pays."""
    said = [f"{count(len(finished))} of {count(len(rows), 'run')} finished."] if len(finished) < len(rows) else []
    names = settings(rows)
    for metric in ("test/ev", *[m for m in metrics if m.startswith("probe/codes/")], "test/acc"):
        if metric not in metrics or not (leaders := best(metric, finished)):
            continue
        row = leaders[0]
        who = ", ".join(f"{name} = {row[name]}" for name in names if row[name]) or row.get("run", "")
        price = f", with {per_row(number(row['test/l0']))} active latents per row" if row.get("test/l0") else ""
        said.append(f"{title(metric)} is highest, {percent(number(row[metric]))}, for {who}{price}.")
    return said


def write_table(runs: list[Facts], path: Path) -> None:
    """A `sweep.csv` from run directories: the config keys in which they differ, and their final metrics."""
    flat = [flatten(run.config) for run in runs]
    keys = [k for k in dict.fromkeys(k for f in flat for k in f) if not k.startswith(NO_SETTING)]
    differ = [k for k in keys if len({f.get(k, "") for f in flat}) > 1]
    metrics = list(dict.fromkeys(m for run in runs for m in run.metrics))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["job", "name", *differ, "status", *metrics, "run"])
        for job, (run, config) in enumerate(zip(runs, flat, strict=True)):
            head = [job, run.info.get("name", ""), *(config.get(k, "") for k in differ), run.info.get("status", "")]
            writer.writerow([*head, *(run.metrics.get(m, "") for m in metrics), run.path])


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys as dotted names."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: str(value)}
    return flat
