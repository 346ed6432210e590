"""What many runs found beside each other: which is best at what, by how much, and what it pays."""

from __future__ import annotations

import math

from saelab.plots.read import Row, number
from saelab.plots.settings import COUNTS, Setting, by_setting, repeat, roles, title, varied
from saelab.report.words import MISSING, count, figure, per_row, percent, together

LOWER = ("loss", "dead", "mse")  # is better
NEITHER = ("l0", "shrinkage")  # is better by itself, more or less
NUMBERS = ("loss", "mse", "mcc", "shrinkage", "score")  # the others are shares


def cell(metric: str, value: float) -> str:
    kind = metric.rpartition("/")[2]
    if math.isnan(value):
        return MISSING
    return per_row(value) if kind == "l0" or kind in COUNTS else figure(value) if kind in NUMBERS else percent(value)


def mean(setting: Setting, metric: str) -> str:
    values = setting.values(metric)
    return setting.told(metric) if len(values) > 1 else cell(metric, setting.mean(metric))


def best(metric: str, finished: list[Row]) -> list[Row]:
    """The rows that read the same as the best value; none for L0 and the like, where fewer is not better by itself."""
    kind = metric.rpartition("/")[2]
    values = [number(row.get(metric)) for row in finished if not math.isnan(number(row.get(metric)))]
    if kind in NEITHER or len(values) < 2:
        return []
    top = cell(metric, (min if kind in LOWER else max)(values))
    return [row for row in finished if cell(metric, number(row.get(metric))) == top]


def ranked(metric: str, settings: list[Setting]) -> list[Setting]:
    """Settings from the best mean to the worst; none for L0 and the like."""
    kind = metric.rpartition("/")[2]
    scored = [] if kind in NEITHER else [s for s in settings if len(s.values(metric))]
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
    probed = [m for m in metrics if m.startswith("probe/codes/")]
    for metric in ("test/ev", "separation/test/score", "truth/mcc", "truth/f1", *probed, "test/acc"):
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
    runs = count(len(first.rows), repeat(settings))
    leader, runner_up = (who({key: s.keys[key] for key in distinct(settings)}) for s in order[:2])
    top = f"{title(metric)} is highest for {leader}, {mean(first, metric)} over {runs}"
    if clear_best(metric, settings):
        return [f"{top}{price(first.mean('test/l0'))}."]
    return [f"{top}, but {runner_up} with {mean(second, metric)} is within the spread: the best is unclear."]


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


def distinct(settings: list[Setting]) -> tuple[str, ...]:
    """The keys that tell settings apart, one of those that always change together."""
    names, value = roles(settings)
    return (*names, *value)


def who(keys: Row) -> str:
    return ", ".join(f"{name} = {value}" for name, value in keys.items() if value)


def price(l0: float) -> str:
    return "" if math.isnan(l0) else f", with {per_row(l0)} active latents per row"


def lower(text: str) -> str:
    return text[0].lower() + text[1:]
