"""Many runs beside each other on one page."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from saelab.plots import draw_sweep
from saelab.plots.read import Row, number, read_rows
from saelab.plots.sweep import Setting, by_setting, headlines, repeat, title, varied
from saelab.report.facts import Facts, facts
from saelab.report.page import image, render
from saelab.report.words import MISSING, count, figure, per_row, percent, together

LOWER = ("loss", "dead", "mse")  # is better
NO_SETTING = ("paths.", "hydra.", "logger.", "callbacks.", "name", "experiment")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-\d\d")


def compare(runs: Sequence[Path], out: Path, *, table: Path | None = None) -> Path:
    """Write a page comparing runs to `out`, from `sweep.csv` (`table`), or else from the runs' own directories.

    The table and the figure of the latter lie beside the page, under its name.
    """
    if table is None:
        table = out.with_suffix(".csv")
        write_table([facts(run) for run in runs], table)
    rows = read_rows(table)
    finished = [row for row in rows if row.get("status", "finished") == "finished"]
    metrics = [m for m in headlines(rows) if any(row.get(m) for row in finished)]
    settings = by_setting(finished)
    png = draw_sweep(table) if metrics else None
    name, time = heading(out)
    html = render(
        "compare.html.j2",
        title=name,
        time=time,
        findings=findings(rows, finished, metrics),
        image=image(png) if png else None,
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


def cell(metric: str, value: float) -> str:
    kind = metric.rpartition("/")[2]
    if math.isnan(value):
        return MISSING
    return per_row(value) if kind == "l0" else figure(value) if kind in ("loss", "mse") else percent(value)


def mean(setting: Setting, metric: str) -> str:
    values = setting.values(metric)
    return setting.told(metric) if len(values) > 1 else cell(metric, setting.mean(metric))


def best(metric: str, finished: list[Row]) -> list[Row]:
    """The rows that read the same as the best value; none for L0, where fewer is not better by itself."""
    kind = metric.rpartition("/")[2]
    values = [number(row.get(metric)) for row in finished if not math.isnan(number(row.get(metric)))]
    if kind == "l0" or len(values) < 2:
        return []
    top = cell(metric, (min if kind in LOWER else max)(values))
    return [row for row in finished if cell(metric, number(row.get(metric))) == top]


def ranked(metric: str, settings: list[Setting]) -> list[Setting]:
    """Settings from the best mean to the worst; none for L0."""
    kind = metric.rpartition("/")[2]
    scored = [] if kind == "l0" else [s for s in settings if len(s.values(metric))]
    return sorted(scored, key=lambda s: s.mean(metric), reverse=kind not in LOWER)


def clear_best(metric: str, settings: list[Setting]) -> Setting | None:
    """The best setting if its mean ± std does not touch the next one's; a lone run is taken to spread as the other."""
    if len(order := ranked(metric, settings)) < 2:
        return None
    spreads = [s.std(metric) for s in order[:2] if not math.isnan(s.std(metric))]
    overlap = 2 * sum(spreads) / max(1, len(spreads))
    apart = abs(order[0].mean(metric) - order[1].mean(metric)) > overlap
    return order[0] if apart and mean(order[0], metric) != mean(order[1], metric) else None


def findings(rows: list[Row], finished: list[Row], metrics: list[str]) -> list[str]:
    """What the runs agree on where they repeat; else which is best at what, and what it pays."""
    said = [f"{count(len(finished))} of {count(len(rows), 'run')} finished."] if len(finished) < len(rows) else []
    settings = by_setting(finished)
    if repeat(settings) and len(settings) == 1:
        return said + over(settings[0], metrics)
    for metric in ("test/ev", *[m for m in metrics if m.startswith("probe/codes/")], "test/acc"):
        if metric in metrics and repeat(settings):
            said += lead(metric, settings)
        elif metric in metrics:
            said += highest(metric, finished, varied(rows))
    return said


def over(setting: Setting, metrics: list[str]) -> list[str]:
    """Mean ± std of every metric: the first and the dead latents, then the others."""
    told = {m: f"{title(m)} {setting.told(m)}" for m in metrics}
    first, *others = [m for m in metrics if m != "test/dead"] or metrics
    runs = count(len(setting.rows), repeat([setting]))
    head = f"Over {runs} the {lower(title(first))} is {setting.told(first)}"
    head += f"; {lower(told['test/dead'])}" if "test/dead" in metrics and first != "test/dead" else ""
    rest = "; ".join(told[m] if i == 0 else lower(told[m]) for i, m in enumerate(others))
    return [f"{head}.", f"{rest}."] if rest else [f"{head}."]


def lead(metric: str, settings: list[Setting]) -> list[str]:
    """Which setting's mean is best, unless the next one's is within the spread."""
    order = ranked(metric, settings)
    if len(order) < 2:
        return []
    first, second = order[:2]
    name = repeat(settings)
    top = f"{title(metric)} is highest for {who(first.keys)}, {mean(first, metric)} over {count(len(first.rows), name)}"
    if clear_best(metric, settings):
        return [f"{top}{price(first.mean('test/l0'))}."]
    return [f"{top}, but {who(second.keys)} with {mean(second, metric)} is within the spread: the best is unclear."]


def highest(metric: str, finished: list[Row], names: list[str]) -> list[str]:
    """Which run is best, or which are equally good to the digits shown."""
    leaders = best(metric, finished)
    if not leaders:
        return []
    top = f"{title(metric)} is highest, {cell(metric, number(leaders[0][metric]))}"
    if len(leaders) == len(finished):
        return [f"{title(metric)} is {cell(metric, number(leaders[0][metric]))} in all {count(len(finished), 'run')}."]
    if len(leaders) > 3:
        return [f"{top}, in {count(len(leaders))} of {count(len(finished), 'run')}."]
    whom = together([f"for {who({n: row[n] for n in names}) or row.get('run', '')}" for row in leaders])
    return [f"{top}, {whom}{price(number(leaders[0].get('test/l0'))) if len(leaders) == 1 else ''}."]


def who(keys: Row) -> str:
    return ", ".join(f"{name} = {value}" for name, value in keys.items() if value)


def price(l0: float) -> str:
    return "" if math.isnan(l0) else f", with {per_row(l0)} active latents per row"


def lower(text: str) -> str:
    return text[0].lower() + text[1:]


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
