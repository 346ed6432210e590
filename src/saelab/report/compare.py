"""Many runs beside each other on one page."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saelab.plots import draw_sweep
from saelab.plots.read import Row, number, read_rows
from saelab.plots.settings import Setting, by_setting, headlines, repeat, title, varied
from saelab.report.ablation_findings import lead
from saelab.report.compare_findings import best, cell, clear_best, findings, mean
from saelab.report.facts import facts
from saelab.report.matched import add_matched
from saelab.report.page import image, render
from saelab.report.studies import study_sections

NO_SETTING = ("paths.", "hydra.", "logger.", "callbacks.", "name", "experiment")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-\d\d")


def compare(runs: Sequence[Path], out: Path, *, table: Path | None = None) -> Path:
    """Write a page comparing runs to `out`, from `sweep.csv` (`table`), or else from the runs' own directories.

    The table and the figure of the latter lie beside the page, under its name. Studies of the table (`sweep/*.csv` of
    `sweep.csv`) become sections.
    """
    if table is None:
        table = out.with_suffix(".csv")
        tabulate(runs, table)
    rows = read_rows(table)
    if add_matched(rows):
        write_rows(rows, table)
    finished = [row for row in rows if row.get("status", "finished") == "finished"]
    metrics = [m for m in headlines(rows) if any(row.get(m) for row in finished)]
    settings = by_setting(finished)
    png = draw_sweep(table) if metrics else None
    name, time = heading(out)
    study = table.with_suffix("") / "ablation.csv"
    ablated = lead({"ablation": read_rows(study)}) if study.exists() else []  # then reconstruction is not the question
    html = render(
        "compare.html.j2",
        title=name,
        time=time,
        findings=ablated or findings(rows, finished, metrics),
        image=image(png) if png and not ablated else None,
        studies=study_sections(table.with_suffix("")),
        repeat=repeat(settings),
        settings=varied(rows),
        keys=list(settings[0].keys) if settings else [],
        metrics={m: title(m) for m in metrics},
        means=means(settings, metrics) if repeat(settings) else [],
        rows=cells(rows, metrics, [] if repeat(settings) else finished),
        data=table.name,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html, encoding="utf-8")
    return out


def heading(out: Path) -> tuple[str, str]:
    """The page's name and time: of `name/2026-01-31_12-00-00/report.html` the sweep's, else no time."""
    folder = out.resolve().parent
    if out.stem not in ("report", "index"):
        return out.stem, ""
    time = TIME.fullmatch(folder.name)
    return (folder.parent.name, f"{time[1]}, {time[2]}:{time[3]}") if time else (folder.name, "")


def cells(rows: list[Row], metrics: list[str], rivals: list[Row]) -> list[dict[str, Any]]:
    """The lines of the page's table: settings as they are, metrics in words, the best of `rivals` marked if alone."""
    leaders = {metric: best(metric, rivals) for metric in metrics}
    alone = {metric: found[0] for metric, found in leaders.items() if len(found) == 1}
    return [
        {"row": row, "done": row.get("status", "finished") == "finished"}
        | {"metrics": [{"text": cell(m, number(row.get(m))), "best": alone.get(m) is row} for m in metrics]}
        for row in rows
    ]


def means(settings: list[Setting], metrics: list[str]) -> list[dict[str, Any]]:
    """A line per setting: mean ± std of every metric, marked where the lead is clear."""
    leaders = {metric: leader for metric in metrics if (leader := clear_best(metric, settings))}
    return [
        {"keys": s.keys, "runs": len(s.rows)}
        | {"metrics": [{"text": mean(s, m), "best": leaders.get(m) is s} for m in metrics]}
        for s in settings
    ]


def tabulate(paths: Sequence[Path], path: Path) -> None:
    """A `sweep.csv` from run directories: the config keys in which they differ, and their final metrics.

    Of what only some classes have, such as a penalty, no key is told that follows from the class.
    """
    runs = [facts(run) for run in paths]
    flat = [flatten(run.config) for run in runs]
    keys = [k for k in dict.fromkeys(k for f in flat for k in f) if not k.startswith(NO_SETTING)]
    differ = [k for k in keys if len({f.get(k, "") for f in flat}) > 1 and not follows(k, flat)]
    metrics = list(dict.fromkeys(m for run in runs for m in run.metrics))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["job", "name", *differ, "status", *metrics, "run"])
        for job, (run, config) in enumerate(zip(runs, flat, strict=True)):
            head = [job, run.info.get("name", ""), *(config.get(k, "") for k in differ), run.info.get("status", "")]
            writer.writerow([*head, *(run.metrics.get(m, "") for m in metrics), run.path])


def follows(key: str, configs: list[dict[str, str]]) -> bool:
    """Whether a key is that of some classes alone, and of one value in each of them."""
    target = f"{key.rpartition('.')[0]}._target_"
    pairs = {(config.get(target, ""), config.get(key, "")) for config in configs}
    return not all(key in config for config in configs) and len(pairs) == len({name for name, _ in pairs})


def join_tables(tables: Sequence[Path], out: Path, runs: Sequence[Path] | None = None) -> Path:
    """The lines of several `sweep.csv` as one, of all jobs or of these runs alone.

    A key that a sweep does not vary is empty in its lines.
    """
    rows = [(table.parent, row) for table in tables for row in read_rows(table)]
    write_rows([row for sweep, row in rows if runs is None or sweep / row["job"] in runs], out)
    return out


def write_rows(rows: list[Row], path: Path) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys as dotted names."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        told = str(value).rpartition(".")[2] if key == "_target_" else str(value)
        flat |= flatten(value, f"{name}.") if isinstance(value, dict) else {name: told}
    return flat
